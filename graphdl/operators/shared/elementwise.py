"""The base class of operators that compute element by element."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, TypeAlias

from torch import Tensor

from graphdl.operators.operator import Gradients, Operator, Values

Kept: TypeAlias = Literal["x", "y", "nothing"]


class Elementwise(Operator):
    """An element-wise function: x (n, ...) -> y (n, ...). A subclass defines its value and its gradient.

    keeps  what is kept for backward: "x", "y" or "nothing"
    """

    family: ClassVar = "arithmetic"
    keeps_shape: ClassVar = True
    keeps: ClassVar[Kept] = "y"

    @abstractmethod
    def value(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Compute y; if `out` is given, y may be written into it."""

    @abstractmethod
    def gradient(self, kept: Tensor, dy: Tensor) -> Tensor:
        """Compute dx from what was kept (None for nothing) and from dy, without writing into either."""

    def forward(
        self, p: Values, x: Tensor, *, training: bool, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if self.keeps == "x":  # x must not be overwritten
            return self.value(x), x
        y = self.value(x, out if out is None or out.is_floating_point() else None)
        return y, y if self.keeps == "y" else None

    def backward(self, p: Values, saved: Tensor, dy: Tensor) -> Gradients:
        return (self.gradient(saved, dy),), {}
