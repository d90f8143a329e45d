"""Conversion, tuples and gradients.

Operators that change the type or the gradient, select from a tuple, or change nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import Known, KnownSizes
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.operators.shared.indices import as_indices, range_of
from graphdl.operators.tuples import TupleGradient
from graphdl.registry import register
from graphdl.settings import choice, integer, setting, size
from graphdl.slots import InputSlot

__all__ = ["Cast", "Identity", "Item", "OneHot", "StopGradient"]

TypeName: TypeAlias = Literal[
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"
]


@register
class Identity(Operator):
    """The input, unchanged: y = x (n, ...); dx = dy. Nothing is kept for backward."""

    family: ClassVar = "structure"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x, None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy,), {}


@register
class Item(Operator):
    """One element of a tuple of outputs: y = x[index]; no gradient is sent to the other elements.

    A negative index counts from the end. Kept for backward: the length of the tuple.
    Errors: ShapeError if the input is not a tuple, or has no such element.
    """

    index: int = setting(integer())

    family: ClassVar = "structure"

    def propagate(self, *inputs: Any) -> Known:
        (known,) = inputs
        held = isinstance(known, tuple) and -len(known) <= self.index < len(known)
        return known[self.index] if held else KnownSizes()

    def forward(self, p: Values, x: tuple[Tensor, ...], *, training: bool) -> tuple[Tensor, int]:
        if not isinstance(x, tuple) or not -len(x) <= self.index < len(x):
            count = f"a tuple of {len(x)} tensors" if isinstance(x, tuple) else "one tensor, not a tuple"
            raise ShapeError(f"Item({self.index}) selects from a tuple of outputs, but its input is {count}")
        return x[self.index], len(x)

    def backward(self, p: Values, count: int, dy: Tensor) -> Gradients:
        return (TupleGradient(count, {self.index % count: dy}),), {}  # type: ignore[return-value]  # as the passes take it


@register
class StopGradient(Operator):
    """The input, without a gradient: y = x (n, ...), torch.Tensor.detach.

    Feed("node", gradient=0) stops the gradient of one edge only.
    """

    family: ClassVar = "structure"
    keeps_shape: ClassVar = True

    @property
    def differentiable(self) -> bool:
        return False

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x, None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (None,), {}


@register
class Cast(Operator):
    """Conversion to another type: torch.Tensor.to; y = x (n, ...) in the type dtype, dx = dy in the type of x.

    dtype  the name of a type: "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"
           or "bool"

    There is no gradient if x or y are integers or booleans. Floats that become integers are rounded toward 0. A network
    computes in its own dtype: floats of another one must be cast back. Kept for backward: the type of x.
    """

    dtype: TypeName = setting(choice(TypeName))

    family: ClassVar = "structure"
    keeps_shape: ClassVar = True

    @property
    def differentiable(self) -> bool:
        return bool(getattr(torch, self.dtype).is_floating_point)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.dtype | None]:
        y = x.to(getattr(torch, self.dtype))
        return y, x.dtype if x.is_floating_point() and y.is_floating_point() else None

    def backward(self, p: Values, dtype: torch.dtype | None, dy: Tensor) -> Gradients:
        return (None if dtype is None else dy.to(dtype),), {}

    def describe(self) -> str:
        return self.dtype


@register
class OneHot(Operator):
    """Rows of zeros with a one at the place of each index: torch.nn.functional.one_hot.

    x (n, ...) of integers from 0 to num_classes - 1 -> y (n, ..., num_classes), int64 as in torch; Cast converts it to
    floats. There is no gradient. torch infers num_classes as the largest index + 1; here it is required.

    Errors: ShapeError for floats; an error with the valid range for an index out of range.
    """

    num_classes: int = setting(size())

    slots: ClassVar = (InputSlot("input", kind="integer"),)
    family: ClassVar = "embedding"

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        return KnownSizes({-1: self.num_classes})

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        index = as_indices(x).long()
        return index.new_zeros((*x.shape, self.num_classes)).scatter_(-1, index.unsqueeze(-1), 1), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (None,), {}

    def describe(self) -> str:
        return str(self.num_classes)

    def expects(self, *inputs: Tensor) -> str:
        return f"indices from 0 to {self.num_classes - 1}{range_of(*inputs[:1])}"
