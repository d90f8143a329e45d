"""How gradients that meet at a value are added."""

from __future__ import annotations

from typing import Any

from graphdl.operators.tuples import TupleGradient


def accumulate(gradients: list[Any], index: int, gradient: Any, factor: float, own: set[int]) -> None:
    """Add a consumer's gradient times its edge's factor: in place only into a sum that was made here.

    own  the indexes of the values whose gradients are sums that were made here
    """
    several = isinstance(gradient, (tuple, TupleGradient))
    if factor != 1:
        gradient = TupleGradient.of(gradient).scaled(factor) if several else gradient * factor
    held = gradients[index]
    if held is None:
        gradients[index] = gradient
    elif several:
        if isinstance(held, tuple):
            held = gradients[index] = TupleGradient.of(held)
        held.add(gradient)
    elif index in own and held.dtype == gradient.dtype:
        held.add_(gradient)
    else:
        gradients[index] = held + gradient
        own.add(index)
