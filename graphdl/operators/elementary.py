"""Elementary functions of one input.

They are computed element by element.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.operators.operator import constant
from graphdl.operators.shared.elementwise import Elementwise
from graphdl.operators.shared.masks import compared, passed
from graphdl.registry import register
from graphdl.settings import number, optional, setting

__all__ = ["Abs", "Clamp", "Exp", "Log", "Negate", "Scale", "Sqrt"]


@register
class Negate(Elementwise):
    """Change of sign: y = -x; dx = -dy. Nothing is kept for backward."""

    keeps: ClassVar = "nothing"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.neg(x, out=out)

    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        return -dy


@register
class Scale(Elementwise):
    """Affine function with constant coefficients: y = factor x + shift; dx = factor dy. Nothing is kept for backward.

    The coefficients are settings, not parameters: for learned ones, multiply by a Weight. 1 - x is Scale(-1, shift=1).
    """

    factor: float = setting(number())
    shift: float = setting(number(), default=0.0)

    keeps: ClassVar = "nothing"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        if not x.is_floating_point():
            return x * self.factor + self.shift
        if not self.shift:
            return torch.mul(x, constant(self.factor, x), out=out)
        return torch.add(constant(self.shift, x), x, alpha=self.factor, out=out)

    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        return dy * constant(self.factor, dy)

    def describe(self) -> str:
        return f"× {self.factor:g}" + (f" {'+' if self.shift > 0 else '-'} {abs(self.shift):g}" if self.shift else "")


@register
class Exp(Elementwise):
    """Exponential function: y = exp x; dx = dy y. Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.exp(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return dy * y


@register
class Log(Elementwise):
    """Natural logarithm: y = log x; dx = dy / x. log 0 is -inf, and the logarithm of a negative number is nan.

    Kept for backward: x.
    """

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.log(x)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return dy / x


@register
class Sqrt(Elementwise):
    """Square root: y = sqrt x; dx = dy / (2 y), which is infinite at 0, as in torch. Kept for backward: y."""

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.sqrt(x, out=out)

    def gradient(self, y: Tensor, dy: Tensor) -> Tensor:
        return (dy / y).mul_(constant(0.5, dy))


@register
class Abs(Elementwise):
    """Absolute value: y = |x|; dx = dy sign x, which is 0 at 0. Kept for backward: x."""

    keeps: ClassVar = "x"

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.abs(x)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return x.sign().mul_(dy)


@register
class Clamp(Elementwise):
    """Limit to an interval: y = min(max(x, min), max); dx = dy where min <= x <= max, else 0.

    One of the bounds may be left out. At a bound the gradient is dy, as in torch.clamp. Kept for backward: x.
    Errors: SettingError if there is no bound, or if min is above max, where torch would return max everywhere.
    """

    min: float | None = setting(optional(number()), default=None)
    max: float | None = setting(optional(number()), default=None)

    keeps: ClassVar = "x"

    def check_settings(self) -> None:
        if self.min is None and self.max is None:
            raise SettingError("Clamp: min and max are both missing; write Clamp(min=0), Clamp(max=1) or Clamp(0, 1)")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise SettingError(f"Clamp: min must be at most max, and {self.min:g} is above {self.max:g}")

    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.clamp(x, self.min, self.max)

    def gradient(self, x: Tensor, dy: Tensor) -> Tensor:
        return passed(dy, compared(torch.eq, x, self.value(x), dy))
