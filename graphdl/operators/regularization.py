"""Regularization."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor

from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.registry import register
from graphdl.settings import probability, setting

__all__ = ["Dropout"]

NUMBERS = 2**32  # the number of values of a random 32-bit integer


@register
class Dropout(Operator):
    """Set elements to 0 with probability p in training: y = x mask / (1 - p); dx = dy mask / (1 - p). Else y = x.

    x (n, ...) -> y (n, ...). The mask is drawn in every training pass, from the network's generator: the same seed
    gives the same masks. Kept for backward: the mask, one byte per element; nothing if no element can be dropped.
    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    p: float = setting(probability(), default=0.5)

    slots: ClassVar = ("input",)
    family: ClassVar = "dropout"

    @property
    def scale(self) -> float:
        """The factor of the remaining elements."""
        return 1 / (1 - self.p) if self.p < 1 else 0.0

    def draw(self, *inputs: Tensor, generator: Generator | None) -> Tensor | None:
        """The mask of the elements that remain.

        One random 64-bit integer is used for two elements, six times as fast as Tensor.bernoulli_ on a CPU.
        """
        if not self.p:
            return None
        (x,) = inputs
        size = x.numel()
        integers = torch.empty((size + 1) // 2, dtype=torch.int64, device=x.device)
        numbers = integers.random_(-(2**63), None, generator=generator).view(torch.int32)[:size]
        highest = NUMBERS // 2
        return numbers.lt(min(round((1 - self.p) * NUMBERS) - highest, highest - 1)).view(x.shape)

    def forward(
        self, p: Values, x: Tensor, *, training: bool, drawn: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if not training or not self.p:
            return x, None
        mask = self.draw(x, generator=None) if drawn is None else drawn
        assert mask is not None
        return torch.mul(x, mask).mul_(self.scale), mask

    def backward(self, p: Values, mask: Tensor | None, dy: Tensor) -> Gradients:
        return (dy if mask is None else torch.mul(dy, mask).mul_(self.scale),), {}

    def describe(self) -> str:
        return f"p {self.p:g}"
