"""The number of threads for a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graphdl.errors import SettingError
from graphdl.network import Network

SMALL = 1e7
"""Steps of up to so many multiplications use one thread. To distribute less work among threads costs more than it
saves, and on a busy machine threads that wait for each other make a small step dozens of times slower."""


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

    A step takes about 3 multiplications for each row and parameter: one in forward, two in backward. Up to SMALL
    multiplications it uses one thread.
    """
    return 1 if 3 * rows * net.engine.store.count <= SMALL else available


def check_threads(threads: object) -> None:
    """Raise SettingError unless it is a number of threads, or None to let `choose_threads` decide."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise SettingError(f"threads must be a whole number, 1 or more, or None, not {threads!r}.")
