"""The number of threads for a training step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.execution.small import is_small
from graphdl.graph import Key
from graphdl.network import Network


@contextmanager
def threads_restored() -> Iterator[None]:
    """A context that restores the number of torch's threads at its end."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(net: Network, inputs: Mapping[Key, Tensor], available: int) -> int:
    """The number of threads for a training step on a batch: 1 if it is small, else all that are available."""
    return available if available == 1 or not is_small(net.engine, inputs) else 1


def check_threads(threads: object) -> None:
    """Raise SettingError unless it is a number of threads, or None to let `choose_threads` decide."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise SettingError(f"threads must be a whole number, 1 or more, or None, not {threads!r}.")
