"""The product of two inputs that are matrices, vectors or batches of matrices."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from graphdl.operators.broadcasting import sum_to
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values
from graphdl.registry import register

__all__ = ["MatMul"]


@register
class MatMul(Operator):
    """Matrix product of two inputs: y = input other; dinput = dy otherᵀ, dother = inputᵀ dy, summed to their shapes.

    input (..., i, k), other (..., k, j) -> y (..., i, j). Axes in front are batches, which are broadcast. As in
    torch.matmul, a vector (k,) is a row as input and a column as other, and y lacks its axis. Kept: both inputs.
    """

    slots: ClassVar = ("input", "other")
    family: ClassVar = "arithmetic"

    def forward(self, p: Values, a: Tensor, b: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if a.dim() <= 2 and b.dim() <= 2:
            return torch.matmul(a, b), (a, b)
        y = product(row(a), column(b))
        y = y.squeeze(-1) if b.dim() == 1 else y.squeeze(-2) if a.dim() == 1 else y
        return y, (a, b)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        a, b = saved
        left, right = row(a), column(b)
        dy = dy.unsqueeze(-1) if b.dim() == 1 else dy
        dy = dy.unsqueeze(-2) if a.dim() == 1 else dy
        da = product_to(dy, right.mT, left.shape).reshape(a.shape) if "input" in needs else None
        db = product_to(left.mT, dy, right.shape).reshape(b.shape) if "other" in needs else None
        return (da, db), {}

    def expects(self, *inputs: Tensor) -> str:
        return "an input (..., i, k) and an other (..., k, j), whose axes in front are the same, 1 or absent"


def row(x: Tensor) -> Tensor:
    """A vector as a matrix of one row; matrices unchanged."""
    return x.unsqueeze(0) if x.dim() == 1 else x


def column(x: Tensor) -> Tensor:
    """A vector as a matrix of one column; matrices unchanged."""
    return x.unsqueeze(1) if x.dim() == 1 else x


def product(a: Tensor, b: Tensor) -> Tensor:
    """The products of two batches of matrices.

    torch.matmul chooses between mm and bmm by the gradients required and the layout, and differently while calls are
    recorded; here the same shapes always go through the same kernel, so that a repeated step gives the same bits.
    """
    if b.dim() == 2:
        return torch.mm(a.flatten(0, -2), b).view(*a.shape[:-1], b.shape[1])
    batch = b.shape[:-2]
    if a.dim() == 2:
        a = a.expand(*batch, *a.shape)
    elif a.shape[:-2] != batch:
        batch = torch.broadcast_shapes(a.shape[:-2], batch)  # type: ignore[no-untyped-call]
        a, b = a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])
    if len(batch) == 1:
        return torch.bmm(a, b)
    return torch.bmm(a.flatten(0, -3), b.flatten(0, -3)).view(*batch, a.shape[-2], b.shape[-1])


def product_to(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """The products of matrices a b, summed to a shape. A sum over all batches is a single product of matrices too."""
    if len(shape) == 2 and a.dim() > 2 and a.shape[:-2] == b.shape[:-2]:
        return torch.mm(a.movedim(-2, 0).flatten(1), b.flatten(0, -2))
    return sum_to(product(a, b), shape)
