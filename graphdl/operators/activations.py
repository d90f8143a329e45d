"""Smooth activations.

Sigmoids, exponential units and gates.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.operators.shared.activation import Activation, Kernel
from graphdl.operators.shared.elementwise import Kept
from graphdl.registry import register
from graphdl.settings import Check, choice, integer, number, setting

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "LogSigmoid",
    "Mish",
    "RectifiedTanh",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]

aten = torch.ops.aten
elu: Kernel = torch._C._nn.elu
elu_backward: Kernel = aten.elu_backward.default
gelu_backward: Kernel = aten.gelu_backward.default
glu_backward: Kernel = aten.glu_backward.default
log_sigmoid: Kernel = torch._C._nn.log_sigmoid
mish_backward: Kernel = aten.mish_backward.default
sigmoid_backward: Kernel = aten.sigmoid_backward.default
silu_backward: Kernel = aten.silu_backward.default
softplus: Kernel = torch._C._nn.softplus
softplus_backward: Kernel = aten.softplus_backward.default
tanh_backward: Kernel = aten.tanh_backward.default

Approximation: TypeAlias = Literal["none", "tanh"]

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def divisor() -> Check:
    """A finite number other than 0."""
    return Check(
        "a finite number other than 0",
        lambda value: number().holds(value) and value != 0,
        schema={"type": "number", "not": {"const": 0}},
    )


@register
class Tanh(Activation):
    """Hyperbolic tangent: y = tanh x; dx = dy (1 - y²). Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.tanh(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return tanh_backward(dy, y)


@register
class RectifiedTanh(Activation):
    """Hyperbolic tangent mapped to [0, 1]: y = 0.5 (1 + tanh x); dx = 2 dy y (1 - y). Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.tanh(x, out=out).mul_(0.5).add_(0.5)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return sigmoid_backward(dy, y).mul_(2)


@register
class Tanhshrink(Operator):
    """Difference of x and its hyperbolic tangent: y = x - tanh x; dx = dy tanh² x. Kept for backward: tanh x."""

    family: ClassVar = "activation"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        tanh = torch.tanh(x)
        return torch.sub(x, tanh, out=out), tanh

    def backward(self, p: Values, tanh: Tensor, dy: Tensor) -> Gradients:
        return (tanh.square().mul_(dy),), {}


@register
class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + exp(-x)); dx = dy y (1 - y). Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.sigmoid(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return sigmoid_backward(dy, y)


@register
class LogSigmoid(Activation):
    """Logarithm of the logistic function: y = -log(1 + exp(-x)); dx = dy (1 - exp y). Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return log_sigmoid(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return torch.addcmul(dy, dy, torch.exp(y), value=-1)


@register
class Softsign(Activation):
    """Algebraic sigmoid: y = x / (1 + |x|); dx = dy / (1 + |x|)² = dy (1 - |y|)². Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.div(x, x.abs().add_(1), out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return y.abs().sub_(1).square_().mul_(dy)


@register
class Softplus(Activation):
    """Smooth rectifier: y = log(1 + exp(beta x)) / beta; dx = dy / (1 + exp(-beta x)).

    Where beta x > threshold, y = x and dx = dy. Kept for backward: x.
    """

    beta: float = setting(divisor(), default=1.0)
    threshold: float = setting(number(), default=20.0)

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return softplus(x, self.beta, self.threshold, out=out)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return softplus_backward(dy, x, self.beta, self.threshold)


@register
class ELU(Activation):
    """Exponential linear unit: y = x where x > 0, else alpha (exp x - 1); dx = dy where x > 0, else dy (y + alpha).

    Kept for backward: y; x if alpha is negative.
    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units",
    2015.
    """

    alpha: float = setting(number(), default=1.0)

    @property
    def keeps(self) -> Kept:  # type: ignore[override]
        """x if alpha is negative, because the sign of x does not follow from y then."""
        return "x" if self.alpha < 0 else "y"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return elu(x, self.alpha, out=out)

    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        return elu_backward(dy, self.alpha, 1.0, 1.0, self.keeps == "y", kept)


@register
class CELU(Activation):
    """ELU with a continuous derivative: y = x where x > 0, else alpha (exp(x / alpha) - 1).

    dx = dy where x > 0, else dy exp(x / alpha) = dy (y / alpha + 1). Kept for backward: y; x if alpha is negative.
    Source: Barron, "Continuously differentiable exponential linear units", 2017.
    """

    alpha: float = setting(divisor(), default=1.0)

    @property
    def keeps(self) -> Kept:  # type: ignore[override]
        """x if alpha is negative: elu_backward takes y only if it is not."""
        return "x" if self.alpha < 0 else "y"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return elu(x, self.alpha, 1.0, 1 / self.alpha, out=out)

    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        return elu_backward(dy, self.alpha, 1.0, 1 / self.alpha, self.keeps == "y", kept)


@register
class SELU(Activation):
    """Self-normalizing ELU: y = scale x where x > 0, else scale alpha (exp x - 1), alpha ≈ 1.6733, scale ≈ 1.0507.

    dx = scale dy where x > 0, else dy (y + scale alpha). With weights of variance 1 / i, it keeps mean 0 and variance
    1. Kept for backward: y.
    Source: Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return elu(x, SELU_ALPHA, SELU_SCALE, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return elu_backward(dy, SELU_ALPHA, SELU_SCALE, 1.0, True, y)


@register
class GELU(Activation):
    """Gaussian error linear unit: y = x Φ(x), where Φ is the normal distribution function; dx = dy (Φ(x) + x Φ'(x)).

    approximate="tanh" computes Φ(x) ≈ 0.5 (1 + tanh(sqrt(2 / π) (x + 0.044715 x³))); as in torch, its gradient is nan
    where x² exceeds the largest number of the type. Kept for backward: x.
    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """

    approximate: Approximation = setting(choice(Approximation), default="none")

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.gelu(x, approximate=self.approximate)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return gelu_backward(dy, x, approximate=self.approximate)


@register
class SiLU(Activation):
    """Sigmoid linear unit: y = x s, s = 1 / (1 + exp(-x)); dx = dy s (1 + x (1 - s)). Also known as swish.

    Kept for backward: x. Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2017.
    """

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.silu(x)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return silu_backward(dy, x)


@register
class Mish(Activation):
    """Smooth gate: y = x t, t = tanh(log(1 + exp x)); dx = dy (t + x (1 - t²) / (1 + exp(-x))).

    Kept for backward: x. Source: Misra, "Mish: a self regularized non-monotonic activation function", 2019.
    """

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch._C._nn.mish(x)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return mish_backward(dy, x)


@register
class GLU(Operator):
    """Gated linear unit: y = a s(b), where a and b are the halves of x along one axis and s(b) = 1 / (1 + exp(-b)).

    x (n, ..., 2 i, ...) -> y (n, ..., i, ...); da = dy s(b), db = dy a s(b) (1 - s(b)). dim is the axis, the last one
    by default. Kept for backward: x.
    Errors: ShapeError if the axis has an odd size.
    Source: Dauphin et al., "Language modeling with gated convolutional networks", 2016.
    """

    dim: int = setting(integer(), default=-1)

    family: ClassVar = "activation"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        if -x.dim() <= self.dim < x.dim() and x.shape[self.dim] % 2:
            raise ShapeError(f"the axis {self.dim} has the size {x.shape[self.dim]} and cannot be halved")
        return torch._C._nn.glu(x, self.dim), x

    def backward(self, p: Values, x: Tensor, dy: Tensor) -> Gradients:
        return (glu_backward(dy, x, self.dim),), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"an input whose axis {self.dim} has an even size"
