"""Reductions, norms and cumulative sums.

dim is an axis or a tuple of axes; None, the default of the reductions and of Norm, is every axis but the first, which
is the batch. Functions of torch reduce all axes by default; here the batch is reduced only if dim names its axis, 0.
keepdim keeps the reduced axes, with length 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Operator, Values, constant
from graphdl.operators.shared.broadcasting import sum_to
from graphdl.operators.shared.masks import compared
from graphdl.registry import register
from graphdl.settings import Check, any_number, flag, integer, number, one_or_more, optional, setting

__all__ = [
    "CumSum",
    "Norm",
    "Normalize",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
]

Dim: TypeAlias = int | tuple[int, ...]

AXES = Check(
    "a whole number or a tuple of different ones",
    lambda value: (
        integer().holds(value)
        or (isinstance(value, tuple) and 0 < len(value) == len(set(value)) and all(map(integer().holds, value)))
    ),
    lambda value: "Write a tuple, as (1, 2)" if isinstance(value, list) else "",
    one_or_more(integer().schema),
)
ORDER = Check(
    "a number above 0, or math.inf",
    lambda value: any_number().holds(value) and value > 0,
    schema={"type": "number", "exclusiveMinimum": 0},
)


class AlongAxes(Operator):
    """An operator with the settings dim and keepdim.

    dim      an axis or a tuple of axes; None is every axis but the first, which is the batch. Functions of torch
             reduce all axes by default; here the batch is reduced only if dim names its axis, 0
    keepdim  whether the reduced axes remain, with length 1
    """

    dim: Dim | None
    keepdim: bool

    slots: ClassVar = ("input",)
    family: ClassVar = "arithmetic"

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes that are reduced."""
        if self.dim is None:
            if rank < 2:
                raise ShapeError("dim is None, which is every axis but the batch, and its input has no other axis")
            return tuple(range(1, rank))
        return self.dim if isinstance(self.dim, tuple) else (self.dim,)

    def restored(self, reduced: Tensor, shape: torch.Size) -> Tensor:
        """A tensor of y's shape with the axes of x: those that were reduced have length 1."""
        if self.keepdim:
            return reduced
        rank = len(shape)
        gone = {axis % rank for axis in self.axes(rank)} if rank else set()
        return reduced.reshape([1 if axis in gone else n for axis, n in enumerate(shape)])

    def expects(self, *inputs: Tensor) -> str:
        if self.dim is None:
            return "(n, ...) with an axis besides the batch, n; to reduce the batch, write dim=0"
        return f"an input with different axes at dim {self.dim}"


@dataclass(frozen=True)
class Reduction(AlongAxes):
    """A reduction whose only settings are dim and keepdim."""

    dim: Dim | None = setting(optional(AXES), default=None)
    keepdim: bool = setting(flag(), default=False)


@register
class ReduceSum(Reduction):
    """Sum along axes: y = sum x; dx = dy.

    x (n, ...) -> y (n,), or as dim says: an axis or a tuple of axes to reduce; None is every axis but the batch.
    keepdim keeps the reduced axes, with length 1. Kept for backward: the shape of x.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return x.sum(self.axes(x.dim()), self.keepdim), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        return (self.restored(dy, shape).expand(shape),), {}


@register
class ReduceMean(Reduction):
    """Mean along axes: y = sum x / k over k elements; dx = dy / k.

    x (n, ...) -> y (n,), or as dim says: an axis or a tuple of axes to reduce; None is every axis but the batch.
    keepdim keeps the reduced axes, with length 1. Kept for backward: the shape of x.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return x.mean(self.axes(x.dim()), self.keepdim), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        dy = self.restored(dy, shape)
        share = max(dy.numel(), 1) / max(shape.numel(), 1)
        return ((dy * constant(share, dy)).expand(shape),), {}


@dataclass(frozen=True)
class Extremum(Reduction):
    """The largest or the smallest element along axes; each subclass names its function of torch.

    Elements that are equal to it share the gradient evenly. Kept for backward: x and y.
    """

    extremum: ClassVar[Callable[..., Tensor]]

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = type(self).extremum(x, self.axes(x.dim()), self.keepdim)
        return y, (x, y)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        x, y = saved
        y, dy = self.restored(y, x.shape), self.restored(dy, x.shape)
        return (shared(compared(torch.eq, x, y, x), dy),), {}


@register
class ReduceMax(Extremum):
    """The largest element along axes: y = max x; dx = dy there, shared evenly among equal ones, as in torch.amax.

    x (n, ...) -> y (n,), or as dim says: an axis or a tuple of axes to reduce; None is every axis but the batch.
    keepdim keeps the reduced axes, with length 1. Kept for backward: x and y.
    Errors: ShapeError if a reduced axis has no elements.
    """

    extremum: ClassVar = torch.amax


@register
class ReduceMin(Extremum):
    """The smallest element along axes: y = min x; dx = dy there, shared evenly among equal ones, as in torch.amin.

    x (n, ...) -> y (n,), or as dim says: an axis or a tuple of axes to reduce; None is every axis but the batch.
    keepdim keeps the reduced axes, with length 1. Kept for backward: x and y.
    Errors: ShapeError if a reduced axis has no elements.
    """

    extremum: ClassVar = torch.amin


@register
class ReduceLogSumExp(Reduction):
    """Logarithm of a sum of exponentials along axes: y = log sum exp x, which does not overflow; dx = dy exp(x - y).

    x (n, ...) -> y (n,), or as dim says: an axis or a tuple of axes to reduce; None is every axis but the batch.
    keepdim keeps the reduced axes, with length 1. Kept for backward: x and y.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = torch.logsumexp(x, self.axes(x.dim()), self.keepdim)
        return y, (x, y)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        x, y = saved
        y, dy = self.restored(y, x.shape), self.restored(dy, x.shape)
        return ((x - y).exp_().mul_(dy),), {}


@register
class Norm(AlongAxes):
    """Norm of order p along axes: y = (sum |x|ᵖ)^(1 / p), or max |x| for p = inf.

    x (n, ...) -> y (n,), or as dim says: an axis or a tuple of axes to reduce; None is every axis but the batch.
    keepdim keeps the reduced axes, with length 1. Kept for backward: x and y.
    dx = dy sign(x) (|x| / y)^(p - 1), and 0 where y is 0; for p = inf, dy sign(x) at the largest |x|, shared evenly
    among equal ones. As torch.linalg.vector_norm, without its orders 0 and below.
    """

    p: float = setting(ORDER, default=2.0)
    dim: Dim | None = setting(optional(AXES), default=None)
    keepdim: bool = setting(flag(), default=False)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = torch.linalg.vector_norm(x, self.p, self.axes(x.dim()), self.keepdim)
        return y, (x, y)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        x, y = saved
        return (norm_gradient(x, self.restored(y, x.shape), self.restored(dy, x.shape), self.p),), {}


@register
class Normalize(Operator):
    """Division by the norm of order p along one axis: y = x / d with d = max(norm(x), eps).

    x (n, ...) -> y (n, ...). dx = (dy - g sum(dy y)) / d, where g is the gradient of the norm at y, y itself for p = 2;
    dy / eps where the norm is below eps. Kept for backward: y and the norm. As torch.nn.functional.normalize for p > 0.
    """

    p: float = setting(ORDER, default=2.0)
    dim: Dim = setting(AXES, default=1)
    eps: float = setting(number(0), default=1e-12)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        norm = torch.linalg.vector_norm(x, self.p, self.dim, True)
        y = x / norm.clamp_min(self.eps)
        return y, (y, norm)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        y, norm = saved
        divisor = norm.clamp_min(self.eps)
        weight = (dy * y).sum(self.dim, True).masked_fill_(norm < self.eps, 0)
        if self.p == 2:
            dx = torch.addcmul(dy, y, weight, value=-1)
        else:
            dx = dy - norm_gradient(y, norm / divisor, weight, self.p)
        return (dx.div_(divisor),), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"an input with different axes at dim {self.dim}"


@register
class CumSum(Operator):
    """Cumulative sum along an axis: y_i = x_1 + ... + x_i; dx_i = dy_i + dy_(i + 1) + ...

    x (n, ...) -> y (n, ...). Nothing is kept for backward.
    """

    dim: int = setting(integer())

    slots: ClassVar = ("input",)
    family: ClassVar = "arithmetic"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x.cumsum(self.dim), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy.flip(self.dim).cumsum(self.dim).flip(self.dim),), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"an input with an axis at dim {self.dim}"


def shared(chosen: Tensor, dy: Tensor) -> Tensor:
    """Dy, along its axes of length 1, in equal parts for the elements that are 1, not 0; written into `chosen`."""
    return chosen.mul_(dy / sum_to(chosen, dy.shape))


def norm_gradient(x: Tensor, norm: Tensor, dy: Tensor, p: float) -> Tensor:
    """The gradient of a norm of order p, with length 1 in the axes along which it was taken."""
    if p == 1:
        return x.sign().mul_(dy)
    if p == math.inf:
        return shared(compared(torch.eq, x.abs(), norm, x), dy).mul_(x.sign())
    if p == 2:
        return x * (dy / norm).masked_fill_(norm == 0, 0)
    slope = x.sign().mul_(x.abs().pow_(p - 1))
    if p < 1:
        slope.masked_fill_(x == 0, 0)  # where the power is infinite
    return slope.mul_((dy / norm.pow(p - 1)).masked_fill_(norm == 0, 0))
