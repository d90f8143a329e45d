"""Embeddings: a learned vector for each index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Initializer, Normal
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values
from graphdl.registry import register
from graphdl.settings import flag, initializer, integer, optional, setting, size
from graphdl.slots import InputSlot

__all__ = ["Embedding"]

aten = torch.ops.aten


@register
class Embedding(Operator):
    """The rows of a table: y = weight[x].

    x (n, ...) of integers from 0 to num_embeddings - 1 -> y (n, ..., o), o = embedding_dim; weight (num_embeddings, o).
    dweight[k] = sum of dy over all positions where x = k; x has no gradient.

    padding_idx         an index whose row starts at 0 and has no gradient; counted from the end if negative
    scale_grad_by_freq  divides the gradient of a row by the number of times that its index is in the batch
    weight              the initializer, Normal(0, 1) as in torch.nn

    torch.nn's max_norm, which changes weights in forward, and sparse are not supported. Raises ShapeError for floats,
    and an error with the valid range for an index out of range (on CUDA, such an index causes a device-side assert).
    """

    num_embeddings: int = setting(size())
    embedding_dim: int = setting(size())
    padding_idx: int | None = setting(optional(integer()), default=None)
    scale_grad_by_freq: bool = setting(flag(), default=False, kw_only=True)
    weight: Initializer = setting(initializer(), default=Normal(), kw_only=True)

    slots: ClassVar = (InputSlot("input", kind="integer"),)
    family: ClassVar = "embedding"

    def check_settings(self) -> None:
        if self.padding_idx is not None and not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
            raise SettingError(
                f"Embedding: padding_idx must be one of the {self.num_embeddings} indices, not {self.padding_idx}"
            )

    @property
    def padding(self) -> int | None:
        """The index of padding, counted from the start."""
        return None if self.padding_idx is None else self.padding_idx % self.num_embeddings

    def parameters(self) -> dict[str, Parameter]:
        first = self.weight if self.padding is None else WithoutRow(self.weight, self.padding)
        return {"weight": Parameter((self.num_embeddings, self.embedding_dim), first)}

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        if x.dtype is not torch.int64 and x.dtype is not torch.int32:
            if (x.is_floating_point() or x.is_complex()) and not x.is_meta:
                raise ShapeError("the input has floats, which are not indices: give integers, x.long()")
            x = x.long()
        return torch.embedding(p["weight"], x), x

    def backward(self, p: Values, x: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        if "weight" not in needs:
            return (None,), {}
        padding = -1 if self.padding is None else self.padding
        kernel = self.num_embeddings, padding, self.scale_grad_by_freq
        return (None,), {"weight": aten.embedding_dense_backward(dy, x, *kernel)}

    def describe(self) -> str:
        chosen = [] if self.padding_idx is None else [f"padding_idx {self.padding_idx}"]
        chosen += ["by frequency"] if self.scale_grad_by_freq else []
        return ", ".join([f"{self.num_embeddings} → {self.embedding_dim}", *chosen])

    def expects(self, *inputs: Tensor) -> str:
        expected = f"indices from 0 to {self.num_embeddings - 1}"
        if not inputs or inputs[0].is_meta or inputs[0].is_floating_point() or not inputs[0].numel():
            return expected
        return f"{expected}; these are from {inputs[0].min()} to {inputs[0].max()}"


@dataclass(frozen=True)
class WithoutRow:
    """Another initializer's values, with zeros in one row."""

    initializer: Initializer
    row: int

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        self.initializer(parameter, generator)[self.row] = 0
        return parameter
