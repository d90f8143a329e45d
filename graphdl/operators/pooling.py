"""Pooling: one number of each window of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.operators.sizes import Pair, check_pair, differing, is_size, pair, times
from graphdl.registry import register

aten = torch.ops.aten


@register
@dataclass(frozen=True)
class MaxPool2d(Operator):
    """The largest number of each window; dx adds dy where it came from.

    x (n, c, h, w) or (c, h, w) -> y (n, c, h', w') or (c, h', w').
    h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down, or up with ceil_mode.

    kernel_size, stride, padding, dilation   one number, or a tuple for h and w; stride None is kernel_size
    Borders hold -inf. Kept for backward: for each y the place of the largest, and of x its shape alone.
    """

    kernel_size: Pair
    stride: Pair | None = None
    padding: Pair = 0
    dilation: Pair = 1
    ceil_mode: bool = field(default=False, kw_only=True)
    geometry: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    slots: ClassVar = ("input",)
    family: ClassVar = "pooling"

    def __post_init__(self) -> None:
        for name, least in (("kernel_size", 1), ("padding", 0), ("dilation", 1)):
            check_pair("MaxPool2d", name, getattr(self, name), least)
        if self.stride is not None:
            check_pair("MaxPool2d", "stride", self.stride)
        if any(2 * border > size for border, size in zip(pair(self.padding), pair(self.kernel_size), strict=True)):
            raise SettingError(
                f"MaxPool2d: padding is at most half of kernel_size {self.kernel_size!r}, not {self.padding!r}"
            )
        stride = self.kernel_size if self.stride is None else self.stride
        sizes = (self.kernel_size, stride, self.padding, self.dilation)
        object.__setattr__(self, "geometry", (*map(pair, sizes), self.ceil_mode))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[torch.Size, Tensor]]:
        y, places = aten.max_pool2d_with_indices(x, *self.geometry)
        return y, (x.shape, places)

    def backward(self, p: Values, saved: tuple[torch.Size, Tensor], dy: Tensor) -> Gradients:
        shape, places = saved
        return (aten.max_pool2d_with_indices_backward(dy, hollow(dy, shape, places), *self.geometry, places),), {}

    def describe(self) -> str:
        stride = self.kernel_size if self.stride is None else self.stride
        chosen = differing(stride=(stride, self.kernel_size), padding=(self.padding, 0), dilation=(self.dilation, 1))
        return ", ".join([times(self.kernel_size), *chosen, *(["rounded up"] if self.ceil_mode else [])])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, c, h, w), no smaller than the window of {times(self.kernel_size)}"


@register
@dataclass(frozen=True)
class AdaptiveAvgPool2d(Operator):
    """The means of windows that divide the image into output_size parts; dx = dy / the window's area, added up.

    x (n, c, h, w) or (c, h, w) -> y (n, c, *output_size) or (c, *output_size).

    output_size is one number, or a tuple for h and w, where None keeps the input's size. 1 is the global mean.
    Kept for backward: the shape of x.
    """

    output_size: int | tuple[int | None, int | None] | None
    sizes: tuple[int | None, ...] = field(init=False, repr=False, compare=False)

    slots: ClassVar = ("input",)
    family: ClassVar = "pooling"

    def __post_init__(self) -> None:
        sizes = self.output_size if isinstance(self.output_size, tuple) else (self.output_size, self.output_size)
        if len(sizes) != 2 or not all(size is None or is_size(size, 1) for size in sizes):
            raise SettingError(
                "AdaptiveAvgPool2d: output_size is a whole number, 1 or more, or a tuple of two for h and w, where "
                f"None keeps the size, not {self.output_size!r}"
            )
        object.__setattr__(self, "sizes", sizes)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        if self.sizes == (1, 1):
            return x.mean((-2, -1), keepdim=True), x.shape
        known = [given or kept for given, kept in zip(self.sizes, x.shape[-2:], strict=True)]
        return aten._adaptive_avg_pool2d(x, known), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        if dy.shape[-2:] == (1, 1):
            share = dy.div(shape[-2] * shape[-1])
            return (share.expand(shape).contiguous(),), {}  # a repeated number has no layout to hand on
        return (aten._adaptive_avg_pool2d_backward(dy, hollow(dy, shape, dy)),), {}

    def describe(self) -> str:
        return "→ " + "×".join("?" if size is None else str(size) for size in self.sizes)

    def expects(self, *inputs: Tensor) -> str:
        return "(n, c, h, w)"


def hollow(dy: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """A tensor of the input's shape, which nobody writes or reads: kernels take it for its sizes and layout alone."""
    last = like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=dy.dtype, device=dy.device, memory_format=layout)
