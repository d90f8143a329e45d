"""Which steps are too small for several threads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphdl.errors import GraphDLWarning, level_outside
from graphdl.graph import Key
from graphdl.registry import defined_outside

if TYPE_CHECKING:
    from graphdl.execution.engine import Engine

SMALL = 3e7
"""Steps of up to so many multiplications use one thread. To distribute less work among threads costs more than it
saves, and on a busy machine threads that wait for each other make a small step dozens of times slower."""


def is_small(engine: Engine, inputs: Mapping[Key, Tensor]) -> bool:
    """Whether one thread is best for a step on such inputs: it takes up to SMALL multiplications.

    A step makes about 3 multiplications for each number of a weight and each place where it is used: one in forward,
    two in backward. Convolutions and recurrent operators use a weight at many places of a row.
    """
    first = next(iter(inputs.values()), None)
    rows = len(first) if first is not None and first.dim() else 1
    return 3 * rows * engine.store.count <= SMALL and 3 * _products(engine, inputs) <= SMALL


def _products(engine: Engine, inputs: Mapping[Key, Tensor]) -> float:
    """The multiplications of a forward pass with weights, by the shapes of the values; 0 with custom operators.

    A weight (o, ...) gives o numbers at a place, each from so many multiplications as it has numbers for it.
    """
    if any(map(defined_outside, engine.operators.values())):
        return 0  # custom operators are called in steps only
    values = engine.infer({name: torch.empty_like(tensor, device="meta") for name, tensor in inputs.items()})
    weights: dict[Key, float] = {}
    for extent in engine.store.extents:
        if len(extent.shape) > 1:
            weights[extent.node] = weights.get(extent.node, 0) + extent.shape[1:].numel()
    owners = ((engine.graph.nodes[key]["owner"], value) for key, value in values.items())
    return sum(weights[owner] * _size(value) for owner, value in owners if owner in weights)


def _size(value: Any) -> int:
    """The number of elements of a value, of its first element if it is a tuple."""
    return value.numel() if isinstance(value, Tensor) else _size(value[0])


def advise_on_threads(engine: Engine) -> None:
    """Issue a GraphDLWarning if the steps of a custom loop are small and use several threads."""
    threads = torch.get_num_threads()
    if threads > 1 and engine.device.type == "cpu" and is_small(engine, engine.known_inputs()):
        warnings.warn(
            f"The steps of this loop are small, and torch shares each out among {threads} threads: one thread is "
            "faster, on a busy machine many times. Call torch.set_num_threads(1) before the loop, as fit does.",
            GraphDLWarning,
            stacklevel=level_outside(),
        )
