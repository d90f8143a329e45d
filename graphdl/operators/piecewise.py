"""Piecewise activations.

Rectifiers, hard sigmoids and shrinkage: linear, constant or quadratic on each interval.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Constant
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values, constant
from graphdl.operators.shared.activation import Activation, Kernel
from graphdl.operators.shared.elementwise import Kept
from graphdl.registry import register
from graphdl.settings import number, setting, size

__all__ = [
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Softshrink",
    "Threshold",
]

aten = torch.ops.aten
hardshrink_backward: Kernel = aten.hardshrink_backward.default
hardsigmoid_backward: Kernel = aten.hardsigmoid_backward.default
hardswish_backward: Kernel = aten.hardswish_backward.default
hardtanh_backward: Kernel = aten.hardtanh_backward.default
leaky_relu_backward: Kernel = aten.leaky_relu_backward.default
softshrink: Kernel = torch._C._nn.softshrink
softshrink_backward: Kernel = aten.softshrink_backward.default
threshold_backward: Kernel = aten.threshold_backward.default


@register
class ReLU(Activation):
    """Rectified linear unit: y = max(x, 0); dx = dy where y > 0, else 0. Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.clamp_min(x, 0, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return threshold_backward(dy, y, 0)


@register
class ReLU6(Activation):
    """Rectified linear unit up to 6: y = min(max(x, 0), 6); dx = dy where 0 < y < 6, else 0. Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.hardtanh(x, 0.0, 6.0, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return hardtanh_backward(dy, y, 0.0, 6.0)


@register
class LeakyReLU(Activation):
    """Rectified linear unit with a slope below 0: y = x where x > 0, else negative_slope x.

    dx = dy where x > 0, else negative_slope dy. Kept for backward: y; x if negative_slope is negative.
    """

    negative_slope: float = setting(number(), default=0.01)

    @property
    def keeps(self) -> Kept:  # type: ignore[override]
        """x if the slope is negative, because the sign of x does not follow from y then."""
        return "x" if self.negative_slope < 0 else "y"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.leaky_relu(x, self.negative_slope, out=out)

    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        return leaky_relu_backward(dy, kept, self.negative_slope, self.negative_slope >= 0)


@register
class PReLU(Operator):
    """Rectified linear unit with a learned slope below 0: y = x where x > 0, else weight x.

    x (n, c, ...) -> y of the same shape; weight (num_parameters), (1) for one slope or (c) for one per channel.
    dx = dy where x > 0, else weight dy; dweight = sum dy min(x, 0). init is the initial value of the slopes.
    Kept for backward: x.
    Errors: ShapeError if there are several slopes and another number of channels.
    Source: He et al., "Delving deep into rectifiers", 2015.
    """

    num_parameters: int = setting(size(), default=1)
    init: float = setting(number(), default=0.25)

    family: ClassVar = "activation"
    keeps_shape: ClassVar = True

    def parameters(self) -> dict[str, Parameter]:
        return {"weight": Parameter((self.num_parameters,), Constant(self.init))}

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        if self.num_parameters > 1 and (x.dim() < 2 or x.shape[1] != self.num_parameters):
            raise ShapeError(f"the operator has a slope for each of {self.num_parameters} channels")
        return aten._prelu_kernel(x, self.slopes(p, x)), x

    def backward(self, p: Values, x: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = threshold_backward(dy, x, 0)  # dy where x > 0: three times as fast as _prelu_kernel_backward in all
        rest = torch.sub(dy, dx)
        gradients = {}
        if "weight" in needs:
            axes = [axis for axis in range(x.dim()) if axis != 1 or self.num_parameters == 1]
            gradients["weight"] = torch.mul(rest, x).sum(axes).view(self.num_parameters)
        return (dx.addcmul_(rest, self.slopes(p, x)),), gradients

    def slopes(self, p: Values, x: Tensor) -> Tensor:
        """The slopes along the axis of the channels of x."""
        shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
        return p["weight"].view(shape if self.num_parameters > 1 else [1] * x.dim())

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, {self.num_parameters}, ...)" if self.num_parameters > 1 else ""


@register
class RReLU(Operator):
    """Rectified linear unit with random slopes below 0: y = x where x > 0, else a x; dx = dy where x > 0, else a dy.

    In training, each a is drawn from Uniform(lower, upper) by the network's generator; in inference it is their mean.
    Kept for backward: the slopes, 1 where x > 0; in inference x.
    Source: Xu et al., "Empirical evaluation of rectified activations in convolutional network", 2015.
    """

    lower: float = setting(number(), default=1 / 8)
    upper: float = setting(number(), default=1 / 3)

    family: ClassVar = "activation"
    keeps_shape: ClassVar = True

    def check_settings(self) -> None:
        if self.lower > self.upper:
            raise SettingError(f"RReLU: lower must be at most upper, not {self.lower!r} > {self.upper!r}")

    def draw(self, *inputs: Tensor, generator: Generator | None) -> Tensor:
        """A slope for each element."""
        (x,) = inputs
        return torch.empty(x.shape, dtype=x.dtype, device=x.device).uniform_(
            self.lower, self.upper, generator=generator
        )

    def forward(
        self, p: Values, x: Tensor, *, training: bool, drawn: Tensor | None = None, out: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, bool]]:
        if not training:
            return torch._C._nn.leaky_relu(x, (self.lower + self.upper) / 2), (x, False)
        slopes = self.draw(x, generator=None) if drawn is None else drawn
        positive = threshold_backward(constant(1, x), x, 0)  # 1 where x > 0, else 0
        slopes = torch.lerp(slopes, constant(1, x), positive)
        return torch.mul(x, slopes, out=out), (slopes, True)

    def backward(self, p: Values, saved: tuple[Tensor, bool], dy: Tensor) -> Gradients:
        kept, drawn = saved
        return (dy * kept if drawn else leaky_relu_backward(dy, kept, (self.lower + self.upper) / 2, False),), {}


@register
class Threshold(Operator):
    """A constant up to a threshold: y = x where x > threshold, else value; dx = dy where x > threshold, else 0.

    Kept for backward: y; x if value is above threshold.
    """

    threshold: float = setting(number())
    value: float = setting(number())

    family: ClassVar = "activation"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        y = torch.threshold(x, self.threshold, self.value)
        return y, y if self.value <= self.threshold else x

    def backward(self, p: Values, kept: Tensor, dy: Tensor) -> Gradients:
        return (threshold_backward(dy, kept, self.threshold),), {}


@register
class Hardtanh(Activation):
    """Limit to an interval: y = min(max(x, min_val), max_val); dx = dy where min_val < y < max_val, else 0.

    Kept for backward: y. At a bound the gradient is 0; that of Clamp is dy.
    """

    min_val: float = setting(number(), default=-1.0)
    max_val: float = setting(number(), default=1.0)

    def check_settings(self) -> None:
        if self.min_val >= self.max_val:
            raise SettingError(f"Hardtanh: min_val must be less than max_val, not {self.min_val!r} >= {self.max_val!r}")

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.hardtanh(x, self.min_val, self.max_val, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return hardtanh_backward(dy, y, self.min_val, self.max_val)


@register
class Hardsigmoid(Activation):
    """Piecewise linear sigmoid: y = min(max(x + 3, 0), 6) / 6; dx = dy / 6 where |x| < 3, else 0.

    As in torch, the factor 1 / 6 of the gradient has single precision. Kept for backward: x.
    """

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.hardsigmoid(x)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return hardsigmoid_backward(dy, x)


@register
class Hardswish(Activation):
    """Piecewise quadratic gate: y = x min(max(x + 3, 0), 6) / 6.

    dx = dy (2 x + 3) / 6 where |x| < 3, dy where x >= 3, 0 where x <= -3. Kept for backward: x.
    Source: Howard et al., "Searching for MobileNetV3", 2019.
    """

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.hardswish(x)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return hardswish_backward(dy, x)


@register
class Hardshrink(Activation):
    """Hard shrinkage: y = x where |x| > lambd, else 0; dx = dy where |y| > lambd, else 0. Kept for backward: y."""

    lambd: float = setting(number(), default=0.5)

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.hardshrink(x, self.lambd, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return hardshrink_backward(dy, y, self.lambd)


@register
class Softshrink(Activation):
    """Soft shrinkage: y = x - lambd where x > lambd, x + lambd where x < -lambd, else 0; dx = dy where y ≠ 0, else 0.

    Kept for backward: y.
    """

    lambd: float = setting(number(0), default=0.5)

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return softshrink(x, self.lambd, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return softshrink_backward(dy, y, 0.0)
