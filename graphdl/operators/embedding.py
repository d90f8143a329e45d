"""Embeddings.

A learned vector for each index.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from graphdl.initializers import Initializer, Normal
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Values
from graphdl.operators.shared.indices import as_indices
from graphdl.operators.shared.table import Table
from graphdl.registry import register
from graphdl.settings import any_number, flag, initializer, integer, number, optional, setting, size
from graphdl.slots import InputSlot

__all__ = ["Embedding"]

aten = torch.ops.aten


@register
class Embedding(Table):
    """The rows of a table: y = weight[x].

    x (n, ...) of integers from 0 to num_embeddings - 1 -> y (n, ..., o), o = embedding_dim; weight (num_embeddings, o).
    dweight[k] = sum of dy over all positions where x = k; x has no gradient.

    padding_idx         an index whose row starts at 0 and has no gradient; counted from the end if negative
    max_norm            the largest norm of a row of y: a row with a larger one is scaled down to it
    norm_type           the p of that norm, sum(|y|^p)^(1/p); infinity for the maximum
    scale_grad_by_freq  divides the gradient of a row by the number of times that its index is in the batch
    weight              the initializer, Normal(0, 1) as in torch.nn

    With max_norm, torch.nn scales the rows of weight itself in forward. Here weight does not change, and the rows are
    scaled when they are read, because an operator does not write to its parameters. y is the same, and so is dweight,
    the gradient with respect to the scaled rows; but an optimizer starts from the row that was not scaled. torch.nn's
    sparse is not supported. Kept for backward: x.
    Errors: ShapeError for floats; an error with the valid range for an index out of range (on CUDA, such an index
    causes a device-side assert).
    """

    num_embeddings: int = setting(size())
    embedding_dim: int = setting(size())
    padding_idx: int | None = setting(optional(integer()), default=None)
    max_norm: float | None = setting(optional(number(0)), default=None)
    norm_type: float = setting(any_number(), default=2.0)
    scale_grad_by_freq: bool = setting(flag(), default=False)
    weight: Initializer = setting(initializer(), default=Normal(), kw_only=True)

    slots: ClassVar = (InputSlot("input", kind="integer"),)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        x, table = as_indices(x), p["weight"]
        if x.numel() > self.num_embeddings:  # scaling all rows is less work than scaling those that are read
            return torch.embedding(self.bounded(table), x), x
        return self.bounded(torch.embedding(table, x)), x

    def backward(self, p: Values, x: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        if "weight" not in needs:
            return (None,), {}
        padding = -1 if self.padding is None else self.padding
        kernel = self.num_embeddings, padding, self.scale_grad_by_freq
        return (None,), {"weight": aten.embedding_dense_backward(dy, x, *kernel)}
