"""Regularization: operators against overfitting."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor

from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.registry import register
from graphdl.settings import probability, setting

__all__ = ["Dropout"]

NUMBERS = 2**32  # how many values a random number takes below


@register
class Dropout(Operator):
    """Zero with probability p, in training: y = x mask / (1 - p); dx = dy mask / (1 - p). Else y = x.

    x (n, ...) -> y (n, ...). The mask is drawn anew in every pass, from the network's generator: the same seed
    gives the same masks. Kept for backward: the mask, a byte an element; nothing where nothing is dropped.
    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    p: float = setting(probability(), default=0.5)

    slots: ClassVar = ("input",)
    family: ClassVar = "dropout"

    @property
    def scale(self) -> float:
        """What the remaining elements are multiplied by."""
        return 1 / (1 - self.p) if self.p < 1 else 0.0

    def draw(self, *inputs: Tensor, generator: Generator | None) -> Tensor | None:
        """Which elements remain.

        One random integer of 64 bits serves two elements: six times as fast as Tensor.bernoulli_ on a CPU.
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
