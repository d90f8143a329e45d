"""The number of threads for a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graphdl.errors import SettingError
from graphdl.execution.small import is_small
from graphdl.network import Network


@contextmanager
def threads_restored() -> Iterator[None]:
    """A context that restores the number of torch's threads at its end."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(net: Network, rows: int, available: int) -> int:
    """The number of threads for a training step on so many rows: 1, or all that are available.

    A step takes about 3 multiplications for each row and parameter: one in forward, two in backward.
    """
    return 1 if is_small(rows, net.engine.store.count) else available


def check_threads(threads: object) -> None:
    """Raise SettingError unless it is a number of threads, or None to let `choose_threads` decide."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise SettingError(f"threads must be a whole number, 1 or more, or None, not {threads!r}.")
