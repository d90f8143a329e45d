"""Activations: element by element, and along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphdl.initializers import check_integer, check_number
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.registry import register

aten = torch.ops.aten
leaky_relu_backward = aten.leaky_relu_backward.default
sigmoid_backward = aten.sigmoid_backward.default
tanh_backward = aten.tanh_backward.default
threshold_backward = aten.threshold_backward.default


class Activation(Operator):
    """x (n, ...) -> y (n, ...)."""

    family: ClassVar = "activation"


@register
@dataclass(frozen=True)
class ReLU(Activation):
    """Rectified linear unit: y = max(x, 0); dx = dy where y > 0, else 0."""

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = torch.clamp_min(x, 0, out=floating(out))
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (threshold_backward(dy, y, 0),), {}


@register
@dataclass(frozen=True)
class LeakyReLU(Activation):
    """Rectified linear unit with a slope below 0: y = x where x > 0, else negative_slope x."""

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        check_number("LeakyReLU", "negative_slope", self.negative_slope)

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.negative_slope < 0:  # y does not tell the sign of x
            return aten.leaky_relu(x, self.negative_slope), x
        y = torch._C._nn.leaky_relu(x, self.negative_slope, out=floating(out))
        return y, y

    def backward(self, p: Values, saved: Tensor, dy: Tensor) -> Gradients:
        return (leaky_relu_backward(dy, saved, self.negative_slope, self.negative_slope >= 0),), {}


@register
@dataclass(frozen=True)
class Tanh(Activation):
    """Hyperbolic tangent: y = tanh x; dx = dy (1 - y²)."""

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = torch.tanh(x, out=floating(out))
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (tanh_backward(dy, y),), {}


@register
@dataclass(frozen=True)
class RectifiedTanh(Activation):
    """Hyperbolic tangent moved into [0, 1]: y = 0.5 (1 + tanh x); dx = 2 dy y (1 - y)."""

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = torch.tanh(x, out=floating(out)).mul_(0.5).add_(0.5)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (sigmoid_backward(dy, y).mul_(2),), {}


@register
@dataclass(frozen=True)
class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + exp(-x)); dx = dy y (1 - y)."""

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = torch.sigmoid(x, out=floating(out))
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (sigmoid_backward(dy, y),), {}


@register
@dataclass(frozen=True)
class Softmax(Activation):
    """Probabilities along one axis: y = exp x / sum exp x; dx = y (dy - sum dy y).

    dim is the axis; its default, the last one, is what torch takes for matrices.
    """

    dim: int = -1

    def __post_init__(self) -> None:
        check_integer("Softmax", "dim", self.dim)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.softmax(x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._softmax_backward_data(dy, y, self.dim, y.dtype),), {}


@register
@dataclass(frozen=True)
class LogSoftmax(Activation):
    """Logarithms of probabilities along one axis: y = x - log sum exp x; dx = dy - exp(y) sum dy.

    dim is the axis; its default, the last one, is what torch takes for matrices.
    """

    dim: int = -1

    def __post_init__(self) -> None:
        check_integer("LogSoftmax", "dim", self.dim)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.log_softmax(x, self.dim)
        return y, y

    def backward(self, p: Values, y: Tensor, dy: Tensor) -> Gradients:
        return (aten._log_softmax_backward_data(dy, y, self.dim, y.dtype),), {}


def floating(out: Tensor | None) -> Tensor | None:
    """The memory for an output, unless it is that of integers."""
    return out if out is None or out.is_floating_point() else None
