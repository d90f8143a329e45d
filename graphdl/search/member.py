"""A member of a sweep: a network with its optimizer, its rows and its seed, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from torch import Tensor

from graphdl.network import Network
from graphdl.optim import Optimizer, Penalty
from graphdl.search.space import Setting
from graphdl.training import History, Metric

State: TypeAlias = Literal["waiting", "training", "finished", "stopped", "dropped", "failed", "interrupted"]
"""waiting: not begun; finished: all epochs made; stopped: by a callback; dropped: by halving; failed: see its error;
interrupted: by Ctrl-C, with the parameters of the last epoch in its history."""

ENDED: tuple[State, ...] = ("finished", "stopped", "dropped", "failed")


@dataclass(frozen=True)
class Recipe:
    """What is the same for all members: the arguments of fit."""

    epochs: int
    batch_size: int
    shuffle: bool = True
    metrics: Sequence[str | Metric] = ()
    callbacks: Sequence[Any] = ()
    threads: int | None = None
    compile: bool = True
    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1

    def steps(self, rows: int) -> int:
        """The steps of a member with so many rows."""
        return self.epochs * -(-rows // self.batch_size)


@dataclass(eq=False)
class Member:
    """A network to be trained, and the outcome.

    number     its position among the members
    candidate  the number of what a search decides about: members that differ in seed and fold have the same
    rows, validation_rows  indices of the data, (m,); None for all, and for none
    penalties  terms added to its loss
    seed       of the order of its data; None takes the network's generator
    error, cause   why training ended, if the state is "failed", and the exception if there was one in this process
    kept       the epoch whose parameters the network has
    way        how it was trained
    """

    number: int
    net: Network
    optimizer: Optimizer
    seed: int | None = None
    rows: Tensor | None = None
    validation_rows: Tensor | None = None
    penalties: tuple[Penalty, ...] = ()
    setting: Setting = field(default_factory=dict)
    fold: int | None = None
    candidate: int = 0
    history: History = field(default_factory=History)
    state: State = "waiting"
    error: str | None = None
    cause: Exception | None = None
    kept: int = 0
    way: str = ""

    @property
    def ended(self) -> bool:
        """Whether its training has come to an end."""
        return self.state in ENDED

    @property
    def figures(self) -> dict[str, float]:
        """The losses and metrics of the epoch whose parameters the network has; {} before the first."""
        return {name: values[self.kept - 1] for name, values in self.history.items()} if self.kept else {}
