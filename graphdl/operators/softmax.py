"""Softmax functions.

Softmax along one axis, and functions that are computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.registry import register
from graphdl.settings import integer, setting

__all__ = ["LogSoftmax", "Softmax", "Softmax2d", "Softmin"]

aten = torch.ops.aten


@dataclass(frozen=True)
class AlongAxis(Operator):
    """Base class of operators with the setting dim, which is -1 by default: the last axis, as in torch for matrices."""

    dim: int = setting(integer(), default=-1)

    family: ClassVar = "activation"
    keeps_shape: ClassVar = True

    def expects(self, *inputs: Tensor) -> str:
        return f"an input that has the axis {self.dim}"


@register
class Softmax(AlongAxis):
    """Probabilities along one axis: y = exp x / sum exp x; dx = y (dy - sum dy y).

    dim is the axis, the last one by default, as torch.nn takes it for matrices. Kept for backward: y.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.softmax(x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._softmax_backward_data(dy, y, self.dim, y.dtype),), {}


@register
class Softmin(AlongAxis):
    """Probabilities along one axis, the highest for the smallest x: y = exp(-x) / sum exp(-x); dx = y (sum dy y - dy).

    dim is the axis, the last one by default, as torch.nn takes it for matrices. Kept for backward: y.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.softmax(-x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._softmax_backward_data(dy, y, self.dim, y.dtype).neg_(),), {}


@register
class Softmax2d(Operator):
    """Probabilities of the channels at each pixel of an image: y = exp x / sum exp x; dx = y (dy - sum dy y).

    x (n, c, h, w) or (c, h, w) -> y of the same shape; the sums run over c. Kept for backward: y.
    Errors: ShapeError for another number of axes.
    """

    family: ClassVar = "activation"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        if x.dim() not in (3, 4):
            raise ShapeError(f"it takes images, and the input has {x.dim()} axes; Softmax(dim=...) takes any")
        y = torch.softmax(x, -3)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._softmax_backward_data(dy, y, -3, y.dtype),), {}

    def expects(self, *inputs: Tensor) -> str:
        return "(n, c, h, w) or (c, h, w)"


@register
class LogSoftmax(AlongAxis):
    """Logarithms of probabilities along one axis: y = x - log sum exp x; dx = dy - exp(y) sum dy.

    dim is the axis, the last one by default, as torch.nn takes it for matrices. Kept for backward: y.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.log_softmax(x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._log_softmax_backward_data(dy, y, self.dim, y.dtype),), {}
