"""The number of threads for a training step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import GraphDLError, SettingError
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.training.scoring import rows_of

SMALL = 3e7
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


def choose_threads(net: Network, inputs: Mapping[Key, Tensor], available: int) -> int:
    """The number of threads for a training step on a batch: 1 up to SMALL multiplications, else all that are available.

    A step makes about 3 multiplications for each number of a weight and each place where it is used: one in forward,
    two in backward. Convolutions and recurrent operators use a weight at many places of a row.
    """
    parameters = 3 * rows_of(inputs) * net.engine.store.count
    return 1 if parameters <= SMALL and 3 * _products(net, inputs) <= SMALL else available


def _products(net: Network, inputs: Mapping[Key, Tensor]) -> float:
    """The multiplications of a forward pass with weights, by the shapes of the values; 0 if these cannot be inferred.

    A weight (o, ...) gives o numbers at a place, each from so many multiplications as it has numbers for it.
    """
    try:
        values = net.engine.infer({name: torch.empty_like(tensor, device="meta") for name, tensor in inputs.items()})
    except GraphDLError:  # a custom operator may read numbers
        return 0
    weights: dict[Key, float] = {}
    for extent in net.engine.store.extents:
        if len(extent.shape) > 1:
            weights[extent.node] = weights.get(extent.node, 0) + extent.shape[1:].numel()
    owners = ((net.graph.nodes[key]["owner"], value) for key, value in values.items())
    return sum(weights[owner] * _size(value) for owner, value in owners if owner in weights)


def _size(value: Any) -> int:
    """The number of elements of a value, of its first element if it is a tuple."""
    return value.numel() if isinstance(value, Tensor) else _size(value[0])


def check_threads(threads: object) -> None:
    """Raise SettingError unless it is a number of threads, or None to let `choose_threads` decide."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise SettingError(f"threads must be a whole number, 1 or more, or None, not {threads!r}.")
