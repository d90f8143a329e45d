"""The base class of element-wise activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

from torch import Tensor

from graphdl.operators.shared.elementwise import Elementwise

Kernel: TypeAlias = Callable[..., Tensor]
"""A function of torch.ops.aten that returns one tensor."""


class Activation(Elementwise):
    """An element-wise function: x (n, ...) -> y (n, ...). A subclass defines its value and its gradient.

    keeps  what is kept for backward: "y", "x" if the gradient cannot be computed from y, or "nothing"

        @register
        class Gaussian(Activation):  # y = exp(-x²); dx = -2 x y dy
            keeps: ClassVar = "x"

            def value(self, x, out=None):
                return torch.exp(-(x**2))

            def gradient(self, x, dy):
                return -2 * x * torch.exp(-(x**2)) * dy
    """

    family: ClassVar = "activation"
