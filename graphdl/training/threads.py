"""How many threads a training step is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graphdl.errors import SettingError
from graphdl.network import Network

SMALL = 1e7
"""Multiplications a step up to which one thread is taken. To share out less work costs more than it saves, and on a
busy machine threads that wait for each other make a step of a small network dozens of times slower."""


@contextmanager
def threads_restored() -> Iterator[None]:
    """Give torch the number of threads back that it had."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(net: Network, rows: int, available: int) -> int:
    """The number of threads that a training step on so many rows is worth: 1, or all that are available.

    A step multiplies about 3 times a row and a parameter: once forward, twice backward. Up to SMALL multiplications it
    is worth one thread.
    """
    return 1 if 3 * rows * net.engine.store.count <= SMALL else available


def check_threads(threads: object) -> None:
    """Refuse what is no number of threads; None leaves the choice to `choose_threads`."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise SettingError(f"threads is a number of threads, 1 or more, or None to choose, not {threads!r}.")
