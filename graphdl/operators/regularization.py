"""Dropout and noise.

Regularization by random numbers in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Operator, Values, constant
from graphdl.operators.shared.masks import random_mask
from graphdl.registry import register
from graphdl.settings import number, probability, setting

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "GaussianNoise",
]

SELU_FLOOR = -1.7580993408473766  # -scale alpha of SELU: its value where x goes to -infinity


@register
class Dropout(Operator):
    """Elements set to 0 with probability p in training: y = x mask / (1 - p); dx = dy mask / (1 - p).

    x (n, ...) -> y (n, ...); in inference, y = x. The mask is drawn in every training pass by the network's generator:
    the same seed gives the same masks. Kept for backward: the mask, one byte per element; nothing if p is 0.
    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    p: float = setting(probability(), default=0.5)

    slots: ClassVar = ("input",)
    family: ClassVar = "dropout"
    keeps_shape: ClassVar = True

    @property
    def scale(self) -> float:
        """The factor of the remaining elements."""
        return 1 / (1 - self.p) if self.p < 1 else 0.0

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """The shape of the mask, which fits that of x by broadcasting."""
        return x.shape

    def draw(self, *inputs: Tensor, generator: Generator | None) -> Tensor | None:
        """The mask of the elements that remain."""
        if not self.p:
            return None
        (x,) = inputs
        return random_mask(self.mask_shape(x), self.p, generator, x.device)

    def forward(
        self, p: Values, x: Tensor, *, training: bool, drawn: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if not training or not self.p:
            return x, None
        mask = self.draw(x, generator=None) if drawn is None else drawn
        assert mask is not None
        return self.masked(x, mask), mask

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """The value in training."""
        return scaled(x, mask, self.scale)

    def backward(self, p: Values, mask: Tensor | None, dy: Tensor) -> Gradients:
        return (dy if mask is None else scaled(dy, mask, self.scale),), {}

    def describe(self) -> str:
        return f"p {self.p:g}"


@dataclass(frozen=True)
class ChannelDropout(Dropout):
    """Whole channels set to 0 with probability p in training: y = x mask / (1 - p); dx = dy mask / (1 - p).

    In inference, y = x. The mask (n, c, 1, ...) is drawn in every training pass by the network's generator. Kept for
    backward: the mask. torch's form without the batch axis is not supported.
    Errors: ShapeError for an input with another number of axes.
    Source: Tompson et al., "Efficient object localization using convolutional networks", 2015.
    """

    layout: ClassVar[tuple[str, ...]]

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        return channels(x)

    def forward(
        self, p: Values, x: Tensor, *, training: bool, drawn: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if x.dim() != len(self.layout):
            raise ShapeError(f"the input has {x.dim()} axes")
        return super().forward(p, x, training=training, drawn=drawn)

    def expects(self, *inputs: Tensor) -> str:
        return f"({', '.join(self.layout)})"


@register
class Dropout1d(ChannelDropout):
    """Dropout of whole channels of sequences; formulas and settings as in ChannelDropout.

    x (n, c, t) -> y of the same shape.
    """

    layout: ClassVar = ("n", "c", "t")


@register
class Dropout2d(ChannelDropout):
    """Dropout of whole channels of images; formulas and settings as in ChannelDropout.

    x (n, c, h, w) -> y of the same shape.
    """

    layout: ClassVar = ("n", "c", "h", "w")


@register
class Dropout3d(ChannelDropout):
    """Dropout of whole channels of volumes; formulas and settings as in ChannelDropout.

    x (n, c, d, h, w) -> y of the same shape.
    """

    layout: ClassVar = ("n", "c", "d", "h", "w")


@register
class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1, for SELU: y = scale (mask (x - floor) + (1 - p) floor).

    x (n, ...) -> y (n, ...). Elements are dropped with probability p in training; in inference, y = x. floor ≈ -1.7581
    is the limit of SELU at -infinity, and scale = 1 / sqrt((1 - p) (1 + p floor²)); dx = scale dy mask. The mask is
    drawn and kept as in Dropout.
    Source: Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    @property
    def scale(self) -> float:
        """The factor that restores the variance."""
        return 1 / math.sqrt((1 - self.p) * (1 + self.p * SELU_FLOOR**2)) if self.p < 1 else 0.0

    @property
    def shift(self) -> float:
        """The value of dropped elements."""
        return self.scale * (1 - self.p) * SELU_FLOOR

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        return scaled(x - SELU_FLOOR, mask, self.scale).add_(self.shift)


@register
class FeatureAlphaDropout(AlphaDropout):
    """AlphaDropout of whole channels; formulas and settings as in AlphaDropout.

    x (n, c, ...) -> y of the same shape; the mask is (n, c, 1, ...).
    Errors: ShapeError for an input without channels.
    """

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        return channels(x)

    def forward(
        self, p: Values, x: Tensor, *, training: bool, drawn: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if x.dim() < 2:
            raise ShapeError("the input has no axis of channels")
        return super().forward(p, x, training=training, drawn=drawn)

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        factor = torch.mul(mask, constant(self.scale, x))
        return torch.mul(x, factor).add_(self.shift - SELU_FLOOR * factor)

    def expects(self, *inputs: Tensor) -> str:
        return "(n, c, ...)"


def scaled(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Scale x where the mask is true, set it to 0 elsewhere. A mask of channels is small: it is scaled instead of x."""
    if mask.shape == x.shape:
        return torch.mul(x, mask).mul_(scale)
    return torch.mul(x, torch.mul(mask, constant(scale, x)))


def channels(x: Tensor) -> tuple[int, ...]:
    """(n, c, 1, ...) of the shape of x."""
    return tuple(size if axis < 2 else 1 for axis, size in enumerate(x.shape))


@register
class GaussianNoise(Operator):
    """Random numbers added in training: y = x + noise, noise from Normal(0, std²); dx = dy.

    x (n, ...) -> y (n, ...); in inference, y = x. The noise is drawn in every training pass by the network's generator:
    the same seed gives the same noise. Nothing is kept for backward.
    Source: Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995.
    """

    std: float = setting(number(0), default=0.1)

    family: ClassVar = "dropout"
    keeps_shape: ClassVar = True

    def draw(self, *inputs: Tensor, generator: Generator | None) -> Tensor | None:
        """The noise."""
        (x,) = inputs
        noise = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        return noise.normal_(0, self.std, generator=generator) if self.std else None

    def forward(
        self, p: Values, x: Tensor, *, training: bool, drawn: Tensor | None = None, out: Tensor | None = None
    ) -> tuple[Tensor, None]:
        if not training or not self.std:
            return x, None
        noise = self.draw(x, generator=None) if drawn is None else drawn
        assert noise is not None
        return torch.add(x, noise, out=out), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy,), {}

    def describe(self) -> str:
        return f"std {self.std:g}"
