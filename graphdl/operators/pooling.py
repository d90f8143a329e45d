"""Pooling.

Pooling over windows of one, two or three axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.operators.operator import Gradients, Values
from graphdl.operators.shared.sizes import Sizes, Windows, times
from graphdl.registry import register
from graphdl.settings import described, flag, number, optional, setting, size, sizes

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]

aten = torch.ops.aten


class Pooling(Windows):
    """What the poolings share; their settings stand in torch.nn's order in each."""

    kernel_size: Sizes
    stride: Sizes | None

    slots: ClassVar = ("input",)
    family: ClassVar = "pooling"

    @property
    def window(self) -> tuple[int, ...]:
        """The size of the window along each axis."""
        return self.each(self.kernel_size)

    @property
    def strides(self) -> Sizes:
        """The distance between two windows, by default their size."""
        return self.kernel_size if self.stride is None else self.stride

    def check_padding(self, padding: Sizes) -> None:
        """Refuse windows that lie in the padding alone."""
        if any(2 * border > length for border, length in zip(self.each(padding), self.window, strict=True)):
            raise SettingError(
                f"{type(self).__name__}: padding must be at most half of kernel_size {self.kernel_size!r}, not "
                f"{padding!r}"
            )

    def describe(self) -> str:
        single = len(self.space) == 1
        without = [*([] if single else ["kernel_size"]), *(["stride"] if self.stride == self.kernel_size else [])]
        return ", ".join([*([] if single else [times(self.window)]), *described(self, *without)])

    def expects(self, *inputs: Tensor) -> str:
        return f"{self.layout()}, no smaller than the window of {times(self.window)}"


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The maximum of each window, over any number of axes; described at MaxPool2d."""

    kernel_size: Sizes = setting(sizes())
    stride: Sizes | None = setting(optional(sizes()), default=None)
    padding: Sizes = setting(sizes(0), default=0)
    dilation: Sizes = setting(sizes(), default=1)
    return_indices: bool = setting(flag(), default=False)
    ceil_mode: bool = setting(flag(), default=False)

    kernels: ClassVar[Any] = aten.max_pool2d_with_indices, aten.max_pool2d_with_indices_backward

    def check_settings(self) -> None:
        super().check_settings()
        self.check_padding(self.padding)

    @cached_property
    def geometry(self) -> tuple[Any, ...]:
        """Kernel, stride, padding, dilation and ceil_mode, as torch's kernels take them."""
        padding = self.planar(self.padding, 0)
        return (
            self.planar(self.kernel_size),
            self.planar(self.strides),
            padding,
            self.planar(self.dilation),
            self.ceil_mode,
        )

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Any, tuple[torch.Size, Tensor]]:
        self.check_axes(x)
        x = self.lift(x)
        y, places = self.kernels[0](x, *self.geometry)
        return (self.lower(y), self.lower(places)) if self.return_indices else self.lower(y), (x.shape, places)

    def backward(self, p: Values, saved: tuple[torch.Size, Tensor], dy: Any) -> Gradients:
        shape, places = saved
        dy = dy[0] if self.return_indices else dy
        if dy is None:
            return (None,), {}
        dy = self.lift(dy)
        dx = self.kernels[1](dy, self.hollow(dy, shape, places), *self.geometry, places)
        return (self.lower(dx),), {}


@register
class MaxPool1d(MaxPool):
    """Max pooling of sequences; formulas and settings as in MaxPool2d.

    x (n, c, t) or (c, t) -> y (n, c, t') or (c, t').
    """

    space: ClassVar = "t"


@register
class MaxPool2d(MaxPool):
    """Max pooling of images: y is the maximum of each window; dx adds up dy at the positions of the maxima.

    x (n, c, h, w) or (c, h, w) -> y (n, c, h', w') or (c, h', w').
    h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down, or up with ceil_mode, without a window
    that would begin in the padding at the end.

    kernel_size, stride, padding, dilation   one number, or a tuple for h and w; stride None is kernel_size
    return_indices   whether the output is a tuple of y and the positions of the maxima: row times w plus column

    Padding is -inf. Of equal maxima, the first gets dy; nan counts as larger than any number.
    Kept for backward: the position of each maximum, and the shape of x.
    """

    space: ClassVar = "hw"


@register
class MaxPool3d(MaxPool):
    """Max pooling of volumes; formulas and settings as in MaxPool2d.

    x (n, c, d, h, w) or (c, d, h, w) -> y (n, c, d', h', w') or (c, d', h', w').
    """

    space: ClassVar = "dhw"
    kernels: ClassVar = (aten.max_pool3d_with_indices, aten.max_pool3d_with_indices_backward)


@dataclass(frozen=True)
class AvgPool(Pooling):
    """The mean of each window, over any number of axes; described at AvgPool2d."""

    kernel_size: Sizes = setting(sizes())
    stride: Sizes | None = setting(optional(sizes()), default=None)
    padding: Sizes = setting(sizes(0), default=0)
    ceil_mode: bool = setting(flag(), default=False)
    count_include_pad: bool = setting(flag(), default=True)

    kernels: ClassVar[Any] = torch._C._nn.avg_pool2d, aten.avg_pool2d_backward

    def check_settings(self) -> None:
        super().check_settings()
        self.check_padding(self.padding)

    @cached_property
    def geometry(self) -> tuple[Any, ...]:
        """Kernel, stride, padding and the further settings, as torch's kernels take them."""
        sizes = self.planar(self.kernel_size), self.planar(self.strides), self.planar(self.padding, 0)
        return *sizes, self.ceil_mode, self.count_include_pad, getattr(self, "divisor_override", None)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        self.check_axes(x)
        x = self.lift(x)
        return self.lower(self.kernels[0](x, *self.geometry)), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        dy = self.lift(dy)
        return (self.lower(self.kernels[1](dy, self.hollow(dy, shape, dy), *self.geometry)),), {}


@register
class AvgPool1d(AvgPool):
    """Average pooling of sequences; formulas and settings as in AvgPool2d.

    x (n, c, t) or (c, t) -> y (n, c, t') or (c, t').
    """

    space: ClassVar = "t"


@register
class AvgPool2d(AvgPool):
    """Average pooling of images: y is the mean of each window; dx adds up dy / area over the windows that hold a pixel.

    x (n, c, h, w) or (c, h, w) -> y (n, c, h', w') or (c, h', w').
    h' = (h + 2 padding - kernel) / stride + 1, rounded down, or up with ceil_mode, without a window that would begin in
    the padding at the end.

    kernel_size, stride, padding   one number, or a tuple for h and w; stride None is kernel_size
    ceil_mode          also pool the rest at the end; the part of a window beyond the padding does not count
    count_include_pad  whether the zeros of the padding count in the area
    divisor_override   the number to divide by, in place of the area; AvgPool1d has none

    Kept for backward: the shape of x.
    """

    divisor_override: int | None = setting(optional(size()), default=None)

    space: ClassVar = "hw"


@register
class AvgPool3d(AvgPool):
    """Average pooling of volumes; formulas and settings as in AvgPool2d.

    x (n, c, d, h, w) or (c, d, h, w) -> y (n, c, d', h', w') or (c, d', h', w').
    """

    divisor_override: int | None = setting(optional(size()), default=None)

    space: ClassVar = "dhw"
    kernels: ClassVar = (torch._C._nn.avg_pool3d, aten.avg_pool3d_backward)


@dataclass(frozen=True)
class LPPool(Pooling):
    """The p-norm of each window, over any number of axes; described at LPPool2d."""

    norm_type: float = setting(number(0))
    kernel_size: Sizes = setting(sizes())
    stride: Sizes | None = setting(optional(sizes()), default=None)
    ceil_mode: bool = setting(flag(), default=False)

    def check_settings(self) -> None:
        super().check_settings()
        if not self.norm_type:
            raise SettingError(f"{type(self).__name__}: norm_type must be larger than 0")

    @cached_property
    def geometry(self) -> tuple[Any, ...]:
        """Kernel, stride and the further settings of a mean, as torch's kernels take them, whose divisor 1 is a sum."""
        return self.planar(self.kernel_size), self.planar(self.strides), (0, 0), self.ceil_mode, True, None

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        self.check_axes(x)
        means = torch._C._nn.avg_pool2d(self.lift(x).pow(self.norm_type), *self.geometry)
        y = means.mul_(math.prod(self.window)).pow_(1 / self.norm_type)
        return self.lower(y), (x, y)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        x, y = saved
        lifted, order = self.lift(x), self.norm_type
        dsums = torch.where(y == 0, 0, self.lift(dy) * y.pow(1 - order)).mul_(math.prod(self.window))
        dpowers = aten.avg_pool2d_backward(dsums, lifted, *self.geometry)
        return (self.lower(dpowers.mul_(lifted if order == 2 else lifted.pow(order - 1))),), {}


@register
class LPPool1d(LPPool):
    """Power-average pooling of sequences; formulas and settings as in LPPool2d.

    x (n, c, t) or (c, t) -> y (n, c, t') or (c, t').
    """

    space: ClassVar = "t"


@register
class LPPool2d(LPPool):
    """Power-average pooling of images: y = (sum x^p)^(1/p) over each window, where p is norm_type; p = 1 is the sum.

    x (n, c, h, w) or (c, h, w) -> y (n, c, h', w') or (c, h', w').
    h' = (h - kernel) / stride + 1, rounded down, or up with ceil_mode.
    dx adds up dy (x / y)^(p - 1) over the windows that hold a pixel; windows with y = 0 have no gradient.

    kernel_size, stride   one number, or a tuple for h and w; stride None is kernel_size

    As in torch.nn, x^p is not |x|^p: with an odd or fractional p, a sum below 0 gives nan. With ceil_mode, the sum of a
    window that reaches beyond the end is scaled up to the full area. Kept for backward: x and y.
    """

    space: ClassVar = "hw"
