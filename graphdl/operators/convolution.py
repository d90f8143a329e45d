"""Convolution.

Cross-correlation with learned filters over one, two or three axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

from torch import Tensor

from graphdl.errors import SettingError
from graphdl.initializers import Initializer
from graphdl.operators.shared.borders import Borders, PaddingMode
from graphdl.operators.shared.filters import Filters, Geometry
from graphdl.operators.shared.sizes import Sizes, times
from graphdl.registry import register
from graphdl.settings import choice, either, flag, initializer, optional, setting, size, sizes

__all__ = ["Conv1d", "Conv2d", "Conv3d"]

PaddingName: TypeAlias = Literal["same", "valid"]


@dataclass(frozen=True)
class Convolution(Filters):
    """Cross-correlation with learned filters, over any number of axes; described at Conv2d."""

    in_channels: int | None = setting(optional(size()), default=None)
    out_channels: int | None = setting(optional(size()), default=None)
    kernel_size: Sizes | None = setting(optional(sizes()), default=None)
    stride: Sizes = setting(sizes(), default=1)
    padding: Sizes | PaddingName = setting(either(choice(PaddingName), sizes(0)), default=0)
    dilation: Sizes = setting(sizes(), default=1)
    groups: int = setting(size(), default=1)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    padding_mode: PaddingMode = setting(choice(PaddingMode), default="zeros")
    weight: Initializer | None = setting(optional(initializer()), default=None)

    def check_settings(self) -> None:
        super().check_settings()
        if self.padding == "same" and any(step != 1 for step in self.each(self.stride)):
            raise SettingError(f"{type(self).__name__}: padding 'same' needs stride 1, not {self.stride!r}")

    @cached_property
    def borders(self) -> Borders:
        """The padding to add before the kernel, which itself adds zeros, equally on both sides."""
        odd = [total % 2 if self.padding == "same" else 0 for total in self._totals]
        before = [0] * len(odd) if self.padding_mode == "zeros" else self._before
        pairs = [(border, border + more) for border, more in zip(before, odd, strict=True)]
        return tuple(border for pair in reversed(pairs) for border in pair)

    @cached_property
    def geometry(self) -> Geometry:
        """Stride, padding, dilation and groups, as torch's kernels take them."""
        none = (0,) * len(self.space)
        padding = self._before if self.padding_mode == "zeros" else none
        return self.each(self.stride), padding, self.each(self.dilation), False, none, self.groups

    @property
    def _totals(self) -> tuple[int, ...]:
        """By how much the kernel reduces each axis."""
        return tuple(d * (k - 1) for d, k in zip(self.each(self.dilation), self.kernel, strict=True))

    @property
    def _before(self) -> tuple[int, ...]:
        """The padding before each axis."""
        if isinstance(self.padding, str):
            return tuple(total // 2 if self.padding == "same" else 0 for total in self._totals)
        return self.each(self.padding)

    def channels(self) -> tuple[int, int]:
        return int(self.out_channels or 0), int(self.in_channels or 0) // self.groups

    def expects(self, *inputs: Tensor) -> str:
        return f"{self.layout(self.in_channels or 'c')}, no smaller than the kernel of {times(self.kernel)}"


@register
class Conv1d(Convolution):
    """Convolution of sequences; formulas and settings as in Conv2d.

    x (n, i, t) or (i, t) -> y (n, o, t') or (o, t'); weight (o, i / groups, kernel_size), bias (o).
    """

    space: ClassVar = "t"


@register
class Conv2d(Convolution):
    """Cross-correlation of images with learned filters: y[o] = bias[o] + sum_i weight[o, i] ⋆ x[i].

    x (n, i, h, w) or (i, h, w) -> y (n, o, h', w') or (o, h', w'); weight (o, i / groups, *kernel_size), bias (o).
    h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
    dx is the transposed convolution of dy; dweight correlates x with dy; dbias = sum dy over n, h', w'.

    kernel_size, stride, padding, dilation   one number, or a tuple for h and w
    padding       "valid" for none, "same" to keep the size; if "same" needs an odd number, one more is at the end
    padding_mode  "zeros", "reflect", "replicate" or "circular"

    in_channels may be left out: it is inferred from the first input, which then has a batch axis. weight and bias are
    initializers; by default both are Uniform ±1 / sqrt(i / groups times the kernel's area), as in torch.nn.
    bias=False leaves the bias out. Kept for backward: x, without padding.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """

    space: ClassVar = "hw"


@register
class Conv3d(Convolution):
    """Convolution of volumes; formulas and settings as in Conv2d.

    x (n, i, d, h, w) or (i, d, h, w) -> y (n, o, d', h', w') or (o, d', h', w');
    weight (o, i / groups, *kernel_size), bias (o).
    """

    space: ClassVar = "dhw"
