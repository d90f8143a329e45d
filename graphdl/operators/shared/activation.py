"""The base class of element-wise activations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeAlias

from torch import Tensor

from graphdl.operators.operator import Gradients, Operator, Values

Kept: TypeAlias = Literal["x", "y"]
Kernel: TypeAlias = Callable[..., Tensor]
"""A function of torch.ops.aten that returns one tensor."""


class Activation(Operator):
    """An element-wise function: x (n, ...) -> y (n, ...). A subclass defines its value and its gradient.

    keeps  what is kept for backward: "y", or "x" if the gradient cannot be computed from y

        @register
        class Gaussian(Activation):  # y = exp(-x²); dx = -2 x y dy
            keeps: ClassVar = "x"

            def value(self, x, out=None):
                return torch.exp(-(x**2))

            def gradient(self, x, dy):
                return -2 * x * torch.exp(-(x**2)) * dy
    """

    family: ClassVar = "activation"
    keeps: ClassVar[Kept] = "y"

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
