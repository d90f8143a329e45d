"""How gradients that meet at a value are added."""

from __future__ import annotations

from typing import Any


def accumulate(gradients: list[Any], index: int, gradient: Any, factor: float, own: set[int]) -> None:
    """Add a consumer's gradient, times its edge's factor: in place only into a sum made here, never into another's tensor.

    own  the indexes of the values whose gradients are sums that were made here
    """
    if factor != 1:
        gradient = _scaled(gradient, factor)
    held = gradients[index]
    if held is None:
        gradients[index] = gradient
    elif isinstance(held, tuple):
        gradients[index] = tuple(a + b for a, b in zip(held, gradient, strict=True))
    elif index in own and held.dtype == gradient.dtype:
        held.add_(gradient)
    else:
        gradients[index] = held + gradient
        own.add(index)


def _scaled(gradient: Any, factor: float) -> Any:
    """The gradient as an edge's factor lets it through."""
    return tuple(element * factor for element in gradient) if isinstance(gradient, tuple) else gradient * factor
