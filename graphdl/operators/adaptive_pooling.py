"""Adaptive pooling.

Pooling over one, two or three axes to an output of a given size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Values
from graphdl.operators.shared.sizes import Windows, times
from graphdl.registry import register
from graphdl.settings import Check, flag, one_or_more, optional, setting, size

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
]

OutputSize: TypeAlias = int | tuple[int | None, ...] | None

aten = torch.ops.aten

OUTPUT_SIZE = Check(
    "a whole number of at least 1, or a tuple of them, where None keeps the size",
    lambda value: value != () and all(map(optional(size()).holds, value if isinstance(value, tuple) else (value,))),
    schema=one_or_more(optional(size()).schema),
)


class AdaptivePooling(Windows):
    """What the adaptive poolings share: output sizes and texts."""

    output_size: OutputSize

    slots: ClassVar = ("input",)
    family: ClassVar = "pooling"

    @cached_property
    def sizes(self) -> tuple[int | None, ...]:
        """The output size along each axis; None keeps the input's size."""
        return self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * len(self.space)

    def known(self, x: Tensor) -> list[int]:
        """The sizes of the output for an input as the kernel takes it."""
        if 0 in x.shape[-len(self.space) :]:
            raise ShapeError("the input has no pixels")
        sizes = (1, *self.sizes) if len(self.sizes) == 1 else self.sizes
        return [kept if given is None else given for given, kept in zip(sizes, x.shape[-len(sizes) :], strict=True)]

    def describe(self) -> str:
        return f"→ {times(self.sizes)}"

    def expects(self, *inputs: Tensor) -> str:
        return f"{self.layout()} with at least one pixel"


@dataclass(frozen=True)
class AdaptiveAvgPool(AdaptivePooling):
    """The mean of each of output_size windows, over any number of axes; described at AdaptiveAvgPool2d."""

    output_size: OutputSize = setting(OUTPUT_SIZE)

    kernels: ClassVar[Any] = aten._adaptive_avg_pool2d, aten._adaptive_avg_pool2d_backward

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        self.check_axes(x)
        if self.sizes == (1,) * len(self.space):
            return x.mean(tuple(range(-len(self.space), 0)), keepdim=True), x.shape
        x = self.lift(x)
        return self.lower(self.kernels[0](x, self.known(x))), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        if self.sizes == (1,) * len(self.space):
            share = dy.div(math.prod(shape[-len(self.space) :]))
            return (share.expand(shape).contiguous(),), {}  # expand alone would give strides of 0
        dy = self.lift(dy)
        return (self.lower(self.kernels[1](dy, self.hollow(dy, shape, dy))),), {}


@register
class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """Adaptive average pooling of sequences; formulas and settings as in AdaptiveAvgPool2d.

    x (n, c, t) or (c, t) -> y (n, c, output_size) or (c, output_size).
    """

    space: ClassVar = "t"


@register
class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """Adaptive average pooling of images: y is the mean of each window; dx sums dy / area over the windows of a pixel.

    x (n, c, h, w) or (c, h, w) -> y (n, c, *output_size) or (c, *output_size). The windows cover the image: of m along
    h, window k begins at row floor(k h / m) and ends before row ceil((k + 1) h / m); so along w.

    output_size  one number, or a tuple for h and w, where None keeps the input's size; 1 computes the global mean

    Kept for backward: the shape of x.
    """

    space: ClassVar = "hw"


@register
class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """Adaptive average pooling of volumes; formulas and settings as in AdaptiveAvgPool2d.

    x (n, c, d, h, w) or (c, d, h, w) -> y (n, c, *output_size) or (c, *output_size).
    """

    space: ClassVar = "dhw"
    kernels: ClassVar = (aten._adaptive_avg_pool3d, aten._adaptive_avg_pool3d_backward)


@dataclass(frozen=True)
class AdaptiveMaxPool(AdaptivePooling):
    """The maximum of each of output_size windows, over any number of axes; described at AdaptiveMaxPool2d."""

    output_size: OutputSize = setting(OUTPUT_SIZE)
    return_indices: bool = setting(flag(), default=False)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Any, tuple[torch.Size, Tensor]]:
        self.check_axes(x)
        x = self.lift(x)
        y, places = aten.adaptive_max_pool2d(x, self.known(x))
        return (self.lower(y), self.lower(places)) if self.return_indices else self.lower(y), (x.shape, places)

    def backward(self, p: Values, saved: tuple[torch.Size, Tensor], dy: Any) -> Gradients:
        shape, places = saved
        dy = dy[0] if self.return_indices else dy
        if dy is None:
            return (None,), {}
        dy = self.lift(dy)
        return (self.lower(aten.adaptive_max_pool2d_backward(dy, self.hollow(dy, shape, places), places)),), {}


@register
class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """Adaptive max pooling of sequences; formulas and settings as in AdaptiveMaxPool2d.

    x (n, c, t) or (c, t) -> y (n, c, output_size) or (c, output_size).
    """

    space: ClassVar = "t"


@register
class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """Adaptive max pooling of images: y is the maximum of each window; dx adds up dy at the positions of the maxima.

    x (n, c, h, w) or (c, h, w) -> y (n, c, *output_size) or (c, *output_size). The windows cover the image: of m along
    h, window k begins at row floor(k h / m) and ends before row ceil((k + 1) h / m); so along w.

    output_size     one number, or a tuple for h and w, where None keeps the input's size
    return_indices  whether the output is a tuple of y and the positions of the maxima: row times w plus column

    Kept for backward: the position of each maximum, and the shape of x.
    """

    space: ClassVar = "hw"
