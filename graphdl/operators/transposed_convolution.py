"""Transposed convolution.

The gradient of a convolution, as a layer, over one, two or three axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

from torch import Tensor

from graphdl.errors import SettingError
from graphdl.initializers import Initializer
from graphdl.operators.shared.borders import Borders
from graphdl.operators.shared.filters import Filters, Geometry
from graphdl.operators.shared.sizes import Sizes
from graphdl.registry import register
from graphdl.settings import choice, either, flag, initializer, optional, setting, size, sizes

__all__ = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

Zeros: TypeAlias = Literal["zeros"]


@dataclass(frozen=True)
class TransposedConvolution(Filters):
    """Transposed convolution, over any number of axes; described at ConvTranspose2d."""

    in_channels: int | None = setting(optional(size()), default=None)
    out_channels: int | None = setting(optional(size()), default=None)
    kernel_size: Sizes | None = setting(optional(sizes()), default=None)
    stride: Sizes = setting(sizes(), default=1)
    padding: Sizes = setting(sizes(0), default=0)
    output_padding: Sizes = setting(sizes(0), default=0)
    groups: int = setting(size(), default=1)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    dilation: Sizes = setting(sizes(), default=1)
    padding_mode: Zeros = setting(choice(Zeros), default="zeros")
    weight: Initializer | None = setting(optional(initializer()), default=None)

    borders: ClassVar[Borders] = ()  # the kernel itself cuts the padding off

    def check_settings(self) -> None:
        super().check_settings()
        rows = zip(*map(self.each, (self.output_padding, self.stride, self.dilation)), strict=True)
        if any(more >= max(step, apart) for more, step, apart in rows):
            raise SettingError(
                f"{type(self).__name__}: output_padding must be smaller than stride or dilation, not "
                f"{self.output_padding!r} with stride {self.stride!r} and dilation {self.dilation!r}"
            )

    @cached_property
    def geometry(self) -> Geometry:
        """Stride, padding, dilation, output_padding and groups, as torch's kernels take them."""
        stride, padding, dilation = map(self.each, (self.stride, self.padding, self.dilation))
        return stride, padding, dilation, True, self.each(self.output_padding), self.groups

    def channels(self) -> tuple[int, int]:
        return int(self.in_channels or 0), int(self.out_channels or 0) // self.groups

    def expects(self, *inputs: Tensor) -> str:
        return f"{self.layout(self.in_channels or 'c')}, large enough that padding leaves something"


@register
class ConvTranspose1d(TransposedConvolution):
    """Transposed convolution of sequences; formulas and settings as in ConvTranspose2d.

    x (n, i, t) or (i, t) -> y (n, o, t') or (o, t'); weight (i, o / groups, kernel_size), bias (o).
    """

    space: ClassVar = "t"


@register
class ConvTranspose2d(TransposedConvolution):
    """Transposed convolution of images, the gradient of a convolution: each pixel of x adds its value times weight.

    x (n, i, h, w) or (i, h, w) -> y (n, o, h', w') or (o, h', w'); weight (i, o / groups, *kernel_size), bias (o).
    h' = (h - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.
    dx is the convolution of dy with weight; dweight correlates dy with x; dbias = sum dy over n, h', w'.

    kernel_size, stride, padding, output_padding, dilation   one number, or a tuple for h and w
    padding         what is cut off on each side: the padding of the convolution whose gradient this is
    output_padding  what is added at the end, less than stride or dilation: with a stride, convolutions of several
                    sizes give the same size, and this number selects one of them
    padding_mode    "zeros" only, as in torch.nn

    in_channels may be left out: it is inferred from the first input, which then has a batch axis. weight and bias are
    initializers; by default both are Uniform ±1 / sqrt(o / groups times the kernel's area), as in torch.nn. bias=False
    leaves the bias out. torch.nn's output_size, an argument of its forward, is not supported: set output_padding.
    Kept for backward: x.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """

    space: ClassVar = "hw"


@register
class ConvTranspose3d(TransposedConvolution):
    """Transposed convolution of volumes; formulas and settings as in ConvTranspose2d.

    x (n, i, d, h, w) or (i, d, h, w) -> y (n, o, d', h', w') or (o, d', h', w');
    weight (i, o / groups, *kernel_size), bias (o).
    """

    space: ClassVar = "dhw"
