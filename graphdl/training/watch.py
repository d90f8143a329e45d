"""What looks at an epoch while it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from graphdl.training.batching import Batch
from graphdl.training.means import Means


class Watch(Protocol):
    """Looks at an epoch after every step, to store it, and continues one that was stored: a Keeper."""

    def begin(self, means: Means) -> int:
        """Begin or continue an epoch; return how many of its batches are passed over."""
        ...

    def passed_over(self, batch: Batch | None) -> None:
        """Called after the last batch that is passed over."""
        ...

    def rest(self, batches: Iterable[Batch], means: Means, read: Callable[[], None]) -> Iterator[Batch]:
        """The batches that are left; `read` reads losses from the device."""
        ...

    @property
    def room(self) -> int:
        """How many steps may be made before the next look."""
        ...

    def count(self, steps: int) -> bool:
        """Count steps; return whether the epoch is to be stored."""
        ...

    def write_within(self, means: Means, batch: Batch) -> None:
        """Store the epoch after this batch."""
        ...
