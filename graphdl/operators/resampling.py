"""Upsampling and pixel shuffle."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.registry import register
from graphdl.settings import Check, choice, flag, number, one_or_more, optional, setting, size, sizes

__all__ = ["PixelShuffle", "PixelUnshuffle", "Upsample"]

UpsampleMode: TypeAlias = Literal["nearest", "linear", "bilinear", "bicubic", "trilinear", "nearest-exact"]
Sampling: TypeAlias = tuple[list[int], torch.Size, tuple[Any, ...]]
"""The sizes of the output along the axes of space, the shape of the input, and further arguments of torch's kernels."""

aten = torch.ops.aten

KERNELS: dict[tuple[str, int], tuple[Any, Any]] = {
    ("nearest", 1): (aten.upsample_nearest1d, aten.upsample_nearest1d_backward),
    ("nearest", 2): (aten.upsample_nearest2d, aten.upsample_nearest2d_backward),
    ("nearest", 3): (aten.upsample_nearest3d, aten.upsample_nearest3d_backward),
    ("nearest-exact", 1): (aten._upsample_nearest_exact1d, aten._upsample_nearest_exact1d_backward),
    ("nearest-exact", 2): (aten._upsample_nearest_exact2d, aten._upsample_nearest_exact2d_backward),
    ("nearest-exact", 3): (aten._upsample_nearest_exact3d, aten._upsample_nearest_exact3d_backward),
    ("linear", 1): (aten.upsample_linear1d, aten.upsample_linear1d_backward),
    ("bilinear", 2): (aten.upsample_bilinear2d, aten.upsample_bilinear2d_backward),
    ("bicubic", 2): (aten.upsample_bicubic2d, aten.upsample_bicubic2d_backward),
    ("trilinear", 3): (aten.upsample_trilinear3d, aten.upsample_trilinear3d_backward),
}
"""Forward and backward by mode and number of axes of space."""

LAYOUTS = ("(n, c, t)", "(n, c, h, w)", "(n, c, d, h, w)")

FACTORS = Check(
    "a finite number above 0, or a tuple of them",
    lambda value: (
        value != ()
        and all(number(0).holds(one) and one > 0 for one in (value if isinstance(value, tuple) else (value,)))
    ),
    schema=one_or_more({"type": "number", "exclusiveMinimum": 0}),
)


@register
class Upsample(Operator):
    """Interpolation of sequences, images or volumes to a given size, or by a factor; dx is its transpose applied to dy.

    x (n, c, t), (n, c, h, w) or (n, c, d, h, w) -> y (n, c, *size), where size = floor(scale_factor times that of x).

    size, scale_factor  one of the two: one number, or a tuple with one for each axis of space
    mode                "nearest" or "nearest-exact" for any number of axes, "linear" for (n, c, t), "bilinear" and
                        "bicubic" for (n, c, h, w), "trilinear" for (n, c, d, h, w)
    align_corners       for the modes other than nearest: True aligns the centers of the corner pixels of x and y; None
                        and False align their outer corners
    recompute_scale_factor  whether positions are computed from the quotient of the sizes, which floor can make
                            different from scale_factor

    Pixel k of y lies at (k + 1/2) / scale - 1/2 in x, or with align_corners at k (size of x - 1) / (size of y - 1).
    "nearest" takes pixel floor(k / scale), "nearest-exact" the nearest one. Kept for backward: the shape of x.
    """

    size: int | tuple[int, ...] | None = setting(optional(sizes()), default=None)
    scale_factor: float | tuple[float, ...] | None = setting(optional(FACTORS), default=None)
    mode: UpsampleMode = setting(choice(UpsampleMode), default="nearest")
    align_corners: bool | None = setting(optional(flag()), default=None)
    recompute_scale_factor: bool | None = setting(optional(flag()), default=None)

    slots: ClassVar = ("input",)
    family: ClassVar = "resampling"

    def check_settings(self) -> None:
        if (self.size is None) == (self.scale_factor is None):
            raise SettingError(
                "Upsample: one of size and scale_factor must be given, not "
                f"{'both' if self.size is not None else 'none'}; write Upsample(scale_factor=2)"
            )
        if self.align_corners is not None and self.mode.startswith("nearest"):
            raise SettingError(f"Upsample: align_corners has no meaning for mode {self.mode!r}; leave it out")
        if self.recompute_scale_factor and self.size is not None:
            raise SettingError("Upsample: recompute_scale_factor needs scale_factor in place of size")
        axes = {len(value) for value in (self.size, self.scale_factor) if isinstance(value, tuple)}
        if not axes <= set(self.axes):
            raise SettingError(
                f"Upsample: mode {self.mode!r} is for {' or '.join(map(str, self.axes))} axes of space, and "
                f"{'size' if self.scale_factor is None else 'scale_factor'} has {axes.pop()} numbers"
            )

    @cached_property
    def axes(self) -> list[int]:
        """The numbers of axes of space that mode takes."""
        return [axes for mode, axes in KERNELS if mode == self.mode]

    def sampling(self, shape: torch.Size) -> Sampling:
        """What torch's kernels need to know about an input of this shape."""
        space, given = shape[2:], self.size if self.scale_factor is None else self.scale_factor
        if len(space) not in self.axes or (isinstance(given, tuple) and len(given) != len(space)):
            raise ShapeError("the number of axes of the input does not fit mode, size or scale_factor")
        values = given if isinstance(given, tuple) else (given,) * len(space)
        corners = () if self.mode.startswith("nearest") else (bool(self.align_corners),)
        if self.scale_factor is None:
            return [int(value or 0) for value in values], shape, corners
        found = [math.floor(length * float(factor or 0)) for length, factor in zip(space, values, strict=True)]
        if self.recompute_scale_factor:
            return found, shape, corners
        return found, shape, (*corners, *(float(factor or 0) for factor in values))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Sampling]:
        sizes, _, further = sampling = self.sampling(x.shape)
        return KERNELS[self.mode, len(sizes)][0](x, sizes, *further), sampling

    def backward(self, p: Values, sampling: Sampling, dy: Tensor) -> Gradients:
        sizes, shape, further = sampling
        return (KERNELS[self.mode, len(sizes)][1](dy, sizes, shape, *further),), {}

    def describe(self) -> str:
        given = self.size if self.scale_factor is None else self.scale_factor
        text = "×".join(f"{value:g}" for value in (given if isinstance(given, tuple) else (given,)) if value)
        corners = ["align_corners"] if self.align_corners else []
        return ", ".join([f"{'→' if self.scale_factor is None else 'by'} {text}", self.mode, *corners])

    def expects(self, *inputs: Tensor) -> str:
        given = self.size if self.scale_factor is None else self.scale_factor
        layouts = [LAYOUTS[k - 1] for k in self.axes if not isinstance(given, tuple) or len(given) == k]
        return f"{' or '.join(layouts)}, and at least one pixel in the input and the output"


@register
class PixelShuffle(Operator):
    """Channels to pixels: y[c, r h + a, r w + b] = x[r² c + r a + b, h, w], where r is upscale_factor.

    x (..., r² c, h, w) -> y (..., c, r h, r w). dx moves the pixels of dy back to channels, as PixelUnshuffle(r).
    Nothing is kept for backward.
    Source: Shi et al., "Real-time single image and video super-resolution", 2016.
    """

    upscale_factor: int = setting(size())

    family: ClassVar = "resampling"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return torch.pixel_shuffle(x, self.upscale_factor), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (to_channels(dy, self.upscale_factor),), {}

    def describe(self) -> str:
        return f"by {self.upscale_factor}"

    def expects(self, *inputs: Tensor) -> str:
        return f"(..., c, h, w), where c is a multiple of {self.upscale_factor**2}"


@register
class PixelUnshuffle(Operator):
    """Pixels to channels: y[r² c + r a + b, h, w] = x[c, r h + a, r w + b], where r is downscale_factor.

    x (..., c, r h, r w) -> y (..., r² c, h, w). dx moves the channels of dy back to pixels, as PixelShuffle(r).
    Nothing is kept for backward.
    Source: Shi et al., "Real-time single image and video super-resolution", 2016.
    """

    downscale_factor: int = setting(size())

    family: ClassVar = "resampling"

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return to_channels(x, self.downscale_factor), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (torch.pixel_shuffle(dy, self.downscale_factor),), {}

    def describe(self) -> str:
        return f"by {self.downscale_factor}"

    def expects(self, *inputs: Tensor) -> str:
        return f"(..., c, h, w), where h and w are multiples of {self.downscale_factor}"


def to_channels(x: Tensor, factor: int) -> Tensor:
    """pixel_unshuffle, also of a tensor without elements, which torch would return unchanged."""
    if x.numel() or x.dim() < 3:
        return torch.pixel_unshuffle(x, factor)
    *others, c, h, w = x.shape
    if h % factor or w % factor:
        raise ShapeError(f"the sizes of the input are not multiples of {factor}")
    return x.reshape(*others, c * factor**2, h // factor, w // factor)
