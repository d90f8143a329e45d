"""Pooling over windows of images."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.operators.sizes import pair, times
from graphdl.registry import register
from graphdl.settings import Check, Pair, described, flag, optional, setting, size, size_pair

__all__ = ["AdaptiveAvgPool2d", "MaxPool2d"]

aten = torch.ops.aten

OUTPUT_SIZE = Check(
    "a whole number of at least 1, or a tuple of two for h and w, where None keeps the size",
    lambda value: (
        (isinstance(value, tuple) and len(value) == 2 and all(map(optional(size()).holds, value)))
        or optional(size()).holds(value)
    ),
)


@register
class MaxPool2d(Operator):
    """The maximum of each window; dx adds up dy at the positions of the maxima.

    x (n, c, h, w) or (c, h, w) -> y (n, c, h', w') or (c, h', w').
    h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down, or up with ceil_mode.

    kernel_size, stride, padding, dilation   one number, or a tuple for h and w; stride None is kernel_size
    Padding is -inf. Kept for backward: the position of each maximum, and the shape of x.
    """

    kernel_size: Pair = setting(size_pair())
    stride: Pair | None = setting(optional(size_pair()), default=None)
    padding: Pair = setting(size_pair(0), default=0)
    dilation: Pair = setting(size_pair(), default=1)
    ceil_mode: bool = setting(flag(), default=False, kw_only=True)

    slots: ClassVar = ("input",)
    family: ClassVar = "pooling"

    def check_settings(self) -> None:
        if any(2 * border > size for border, size in zip(pair(self.padding), pair(self.kernel_size), strict=True)):
            raise SettingError(
                f"MaxPool2d: padding must be at most half of kernel_size {self.kernel_size!r}, not {self.padding!r}"
            )

    @cached_property
    def geometry(self) -> tuple[Any, ...]:
        """Kernel, stride, padding and dilation, (h, w) each, and ceil_mode, as torch's kernels take them."""
        stride = self.kernel_size if self.stride is None else self.stride
        return (*map(pair, (self.kernel_size, stride, self.padding, self.dilation)), self.ceil_mode)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[torch.Size, Tensor]]:
        y, places = aten.max_pool2d_with_indices(x, *self.geometry)
        return y, (x.shape, places)

    def backward(self, p: Values, saved: tuple[torch.Size, Tensor], dy: Tensor) -> Gradients:
        shape, places = saved
        return (aten.max_pool2d_with_indices_backward(dy, hollow(dy, shape, places), *self.geometry, places),), {}

    def describe(self) -> str:
        without = ["kernel_size", *(["stride"] if self.stride == self.kernel_size else [])]
        return ", ".join([times(self.kernel_size), *described(self, *without)])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, c, h, w), no smaller than the window of {times(self.kernel_size)}"


@register
class AdaptiveAvgPool2d(Operator):
    """The mean of each of output_size windows, which cover the image; dx sums dy / area over the windows of a pixel.

    x (n, c, h, w) or (c, h, w) -> y (n, c, *output_size) or (c, *output_size).

    output_size is one number, or a tuple for h and w, where None keeps the input's size. 1 computes the global mean.
    Kept for backward: the shape of x.
    """

    output_size: int | tuple[int | None, int | None] | None = setting(OUTPUT_SIZE)

    slots: ClassVar = ("input",)
    family: ClassVar = "pooling"

    @cached_property
    def sizes(self) -> tuple[int | None, int | None]:
        """The output sizes (h, w); None keeps the input's size."""
        return self.output_size if isinstance(self.output_size, tuple) else (self.output_size, self.output_size)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        if self.sizes == (1, 1):
            return x.mean((-2, -1), keepdim=True), x.shape
        known = [given or kept for given, kept in zip(self.sizes, x.shape[-2:], strict=True)]
        return aten._adaptive_avg_pool2d(x, known), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        if dy.shape[-2:] == (1, 1):
            share = dy.div(shape[-2] * shape[-1])
            return (share.expand(shape).contiguous(),), {}  # expand alone would give strides of 0
        return (aten._adaptive_avg_pool2d_backward(dy, hollow(dy, shape, dy)),), {}

    def describe(self) -> str:
        return "→ " + "×".join("?" if size is None else str(size) for size in self.sizes)

    def expects(self, *inputs: Tensor) -> str:
        return "(n, c, h, w)"


def hollow(dy: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """A tensor of the input's shape that is not read: kernels only use its sizes and its memory format."""
    last = like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=dy.dtype, device=dy.device, memory_format=layout)
