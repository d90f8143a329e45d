"""Matrix product.

The product of two inputs that are matrices, vectors or batches of matrices.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from graphdl.operators.known_sizes import KnownSizes, MisfitError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values
from graphdl.operators.shared.broadcasting import sum_to
from graphdl.registry import register

__all__ = ["MatMul"]


@register
class MatMul(Operator):
    """Matrix product of two inputs: y = input other; dinput = dy otherᵀ, dother = inputᵀ dy, summed to their shapes.

    input (..., i, k), other (..., k, j) -> y (..., i, j). Leading axes are batches, which are broadcast. As in
    torch.matmul, a vector (k,) is a row as input and a column as other, and y lacks its axis.
    Kept for backward: both inputs.
    """

    slots: ClassVar = ("input", "other")
    family: ClassVar = "arithmetic"

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        a, b = inputs
        k = b.held.get(-2)  # the only axis of a vector is its last
        if k is None:
            return KnownSizes()
        if a.held.get(-1, k) != k:
            raise MisfitError(a, -1, k, b)
        return KnownSizes({-1: b.held[-1]} if -1 in b.held else {})

    def forward(self, p: Values, a: Tensor, b: Tensor, *, training: bool) -> tuple[Tensor, tuple[Any, ...]]:
        shapes = a.shape, b.shape
        if a.dim() <= 2 and b.dim() <= 2:
            return torch.matmul(a, b), (row(a), column(b), *shapes)
        vectors = a.dim() == 1, b.dim() == 1
        a, b = with_equal_batches(row(a), column(b))
        y = product(a, b)
        y = y.squeeze(-2) if vectors[0] else y.squeeze(-1) if vectors[1] else y
        return y, (a, b, *shapes)

    def backward(self, p: Values, saved: tuple[Any, ...], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        a, b, *shapes = saved
        dy = dy.unsqueeze(-1) if len(shapes[1]) == 1 else dy
        dy = dy.unsqueeze(-2) if len(shapes[0]) == 1 else dy
        da = product_to(dy, b.mT, shapes[0]) if "input" in needs else None
        db = product_to(a.mT, dy, shapes[1]) if "other" in needs else None
        return (da, db), {}

    def expects(self, *inputs: Tensor) -> str:
        return "an input (..., i, k) and an other (..., k, j), whose axes in front are the same, 1 or absent"


def row(x: Tensor) -> Tensor:
    """A vector as a matrix of one row; matrices unchanged."""
    return x.unsqueeze(0) if x.dim() == 1 else x


def column(x: Tensor) -> Tensor:
    """A vector as a matrix of one column; matrices unchanged."""
    return x.unsqueeze(1) if x.dim() == 1 else x


def with_equal_batches(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches of matrices with their batch axes broadcast; a single matrix remains one."""
    if a.dim() == 2 or b.dim() == 2 or a.shape[:-2] == b.shape[:-2]:
        return a, b
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])  # type: ignore[no-untyped-call]
    return a.expand(*batch, *a.shape[-2:]).contiguous(), b.expand(*batch, *b.shape[-2:]).contiguous()


def product(a: Tensor, b: Tensor) -> Tensor:
    """The products of two batches of matrices, or of a batch and a single matrix.

    torch.matmul chooses between mm and bmm by the gradients required and the layout, and differently while calls are
    recorded; here the same shapes always go through the same kernel, so that a repeated step gives the same bits.
    """
    if b.dim() == 2:
        return torch.mm(a.flatten(0, -2), b).view(*a.shape[:-1], b.shape[1])
    batch = b.shape[:-2]
    if a.dim() == 2:
        a = a.expand(*batch, *a.shape)
    if len(batch) == 1:
        return torch.bmm(a, b)
    return torch.bmm(a.flatten(0, -3), b.flatten(0, -3)).view(*batch, a.shape[-2], b.shape[-1])


def product_to(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """The products of matrices a b, summed to a shape. A sum over all batches is a single product of matrices too."""
    if len(shape) > 2:
        return sum_to(product(a, b), shape)
    if a.dim() > 2 and b.dim() > 2:
        a, b = a.movedim(-2, 0).flatten(1), b.flatten(0, -2)
    return torch.mm(a, b).view(shape)
