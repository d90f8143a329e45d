"""Broadcasting of operands, and its gradient.

As in torch, operands of different shapes are aligned at the last axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphdl.operators.operator import constant


def sum_to(dy: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of an input of this shape that was broadcast: the sum along the axes that it was repeated along."""
    return dy if dy.shape == shape else dy.sum_to_size(shape)


def sum_each(shapes: Sequence[torch.Size], *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    """The gradients of inputs of these shapes; those beyond the number of inputs are left out."""
    pairs = zip(shapes, gradients, strict=False)
    return tuple(None if gradient is None else sum_to(gradient, shape) for shape, gradient in pairs)


def as_operand(value: float, x: Tensor) -> Tensor:
    """A number as a tensor without axes, of which the result with x has the type that torch gives x and the number."""
    return constant(value, x) if x.is_floating_point() else torch.full((), value, device=x.device)
