"""Activations, element-wise and along one axis."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.registry import register
from graphdl.settings import integer, number, setting

__all__ = ["Activation", "LeakyReLU", "LogSoftmax", "ReLU", "RectifiedTanh", "Sigmoid", "Softmax", "Tanh"]

aten = torch.ops.aten
leaky_relu_backward = aten.leaky_relu_backward.default
sigmoid_backward = aten.sigmoid_backward.default
tanh_backward = aten.tanh_backward.default
threshold_backward = aten.threshold_backward.default


class Activation(Operator):
    """An element-wise function: x (n, ...) -> y (n, ...). A subclass defines its value and its gradient.

    keeps  what is kept for backward: "y", or "x" if the gradient cannot be computed from y

        @register
        class Softsign(Activation):  # y = x / (1 + |x|); dx = dy / (1 + |x|)²
            keeps: ClassVar = "x"

            def value(self, x, out=None):
                return x / (1 + x.abs())

            def gradient(self, x, dy):
                return dy / (1 + x.abs()) ** 2
    """

    family: ClassVar = "activation"
    keeps: ClassVar[Literal["x", "y"]] = "y"

    @abstractmethod
    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Compute y; if `out` is given, y may be written into it."""

    @abstractmethod
    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        """Compute dx from what was kept and from dy, without writing into either."""

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.keeps == "x":  # x must not be overwritten
            return self.value(x), x
        y = self.value(x, out if out is None or out.is_floating_point() else None)
        return y, y

    def backward(self, p: Values, saved: Tensor, dy: Tensor) -> Gradients:
        return (self.gradient(saved, dy),), {}


@register
class ReLU(Activation):
    """Rectified linear unit: y = max(x, 0); dx = dy where y > 0, else 0."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.clamp_min(x, 0, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return threshold_backward(dy, y, 0)  # type: ignore[no-any-return]


@register
class LeakyReLU(Activation):
    """Rectified linear unit with a slope below 0: y = x where x > 0, else negative_slope x."""

    negative_slope: float = setting(number(), default=0.01)

    @property
    def keeps(self) -> Literal["x", "y"]:  # type: ignore[override]
        """x if the slope is negative, because the sign of x does not follow from y then."""
        return "x" if self.negative_slope < 0 else "y"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.leaky_relu(x, self.negative_slope, out=out)

    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        return leaky_relu_backward(dy, kept, self.negative_slope, self.negative_slope >= 0)  # type: ignore[no-any-return]


@register
class Tanh(Activation):
    """Hyperbolic tangent: y = tanh x; dx = dy (1 - y²)."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.tanh(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return tanh_backward(dy, y)  # type: ignore[no-any-return]


@register
class RectifiedTanh(Activation):
    """Hyperbolic tangent mapped to [0, 1]: y = 0.5 (1 + tanh x); dx = 2 dy y (1 - y)."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.tanh(x, out=out).mul_(0.5).add_(0.5)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return sigmoid_backward(dy, y).mul_(2)  # type: ignore[no-any-return]


@register
class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + exp(-x)); dx = dy y (1 - y)."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.sigmoid(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return sigmoid_backward(dy, y)  # type: ignore[no-any-return]


@register
class Softmax(Operator):
    """Probabilities along one axis: y = exp x / sum exp x; dx = y (dy - sum dy y).

    dim is the axis; its default, the last one, is what torch takes for matrices.
    """

    dim: int = setting(integer(), default=-1)

    family: ClassVar = "activation"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.softmax(x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._softmax_backward_data(dy, y, self.dim, y.dtype),), {}


@register
class LogSoftmax(Operator):
    """Logarithms of probabilities along one axis: y = x - log sum exp x; dx = dy - exp(y) sum dy.

    dim is the axis; its default, the last one, is what torch takes for matrices.
    """

    dim: int = setting(integer(), default=-1)

    family: ClassVar = "activation"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.log_softmax(x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._log_softmax_backward_data(dy, y, self.dim, y.dtype),), {}
