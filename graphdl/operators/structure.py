"""Operators that pass values on unchanged, select a part of them or reshape them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.operators.tuples import TupleGradient
from graphdl.registry import register
from graphdl.settings import integer, setting

__all__ = ["Flatten", "Identity", "Item"]


@register
class Identity(Operator):
    """y = x (n, ...)."""

    family: ClassVar = "structure"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x, None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy,), {}


@register
class Item(Operator):
    """Element `index` of a tuple of outputs; backward sends no gradient to the other elements."""

    index: int = setting(integer())

    family: ClassVar = "structure"

    def forward(self, p: Values, x: tuple[Tensor, ...], *, training: bool) -> tuple[Tensor, int]:
        if not isinstance(x, tuple) or not -len(x) <= self.index < len(x):
            count = f"a tuple of {len(x)} tensors" if isinstance(x, tuple) else "one tensor, not a tuple"
            raise ShapeError(f"Item({self.index}) selects from a tuple of outputs, but its input is {count}")
        return x[self.index], len(x)

    def backward(self, p: Values, count: int, dy: Tensor) -> Gradients:
        return (TupleGradient(count, {self.index % count: dy}),), {}  # type: ignore[return-value]  # as the passes take it


@register
class Flatten(Operator):
    """Flatten the axes from start_dim to end_dim into one; y has the elements of x in the same order.

    x (n, c, h, w) -> y (n, c h w) by default. Kept for backward: the shape of x.
    """

    start_dim: int = setting(integer(), default=1)
    end_dim: int = setting(integer(), default=-1)

    slots: ClassVar = ("input",)
    family: ClassVar = "reshape"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return x.flatten(self.start_dim, self.end_dim), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        return (dy.reshape(shape),), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"an axis {self.start_dim}, and an axis {self.end_dim} that is not before it"
