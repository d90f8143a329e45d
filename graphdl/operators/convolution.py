"""Convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Initializer, Uniform, VarianceScaling, check_choice, check_initializer
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values
from graphdl.operators.sizes import Pair, check_pair, check_size, differing, pair, times
from graphdl.registry import register

PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Borders: TypeAlias = tuple[int, int, int, int]
"""How many columns and rows are added: left, right, top, bottom."""

Geometry: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Stride, padding and dilation, (h, w) each."""

aten = torch.ops.aten


@register
@dataclass(frozen=True)
class Conv2d(Operator):
    """Cross-correlation of images with learned filters: y[o] = bias[o] + sum_i weight[o, i] ⋆ x[i].

    x (n, i, h, w) or (i, h, w) -> y (n, o, h', w') or (o, h', w'); weight (o, i / groups, *kernel_size), bias (o).
    h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
    dx is the transposed convolution of dy; dweight correlates x with dy; dbias = sum dy over n, h', w'.

    kernel_size, stride, padding, dilation   one number, or a tuple for h and w
    padding       "valid" is none, and "same" as much as keeps the size: what is odd goes to the right and the bottom
    padding_mode  what the border holds: "zeros", or the image reflected, replicated or continued circularly

    in_channels may be left out: it follows from the first input. weight and bias name their initializers; by default
    both are Uniform ±1 / sqrt(i / groups times the kernel's area), as in torch.nn. Kept for backward: x, unpadded.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """

    in_channels: int | None = None
    out_channels: int | None = None
    kernel_size: Pair | None = None
    stride: Pair = 1
    padding: Pair | Literal["same", "valid"] = 0
    dilation: Pair = 1
    groups: int = 1
    bias: bool | Initializer = True
    padding_mode: PaddingMode = "zeros"
    weight: Initializer | None = None
    borders: Borders = field(init=False, repr=False, compare=False)
    geometry: Geometry = field(init=False, repr=False, compare=False)

    slots: ClassVar = ("input",)
    family: ClassVar = "convolution"
    inferred: ClassVar = ("in_channels",)

    def __post_init__(self) -> None:
        for name in ("out_channels", "kernel_size"):
            if getattr(self, name) is None:
                raise SettingError(
                    f"Conv2d: {name} is missing; write Conv2d(3, 16, 5) or Conv2d(out_channels=16, kernel_size=5)"
                )
        if self.in_channels is not None:
            check_size("Conv2d", "in_channels", self.in_channels)
        for name in ("out_channels", "groups"):
            check_size("Conv2d", name, getattr(self, name))
        for name in ("kernel_size", "stride", "dilation"):
            check_pair("Conv2d", name, getattr(self, name))
        if self.padding not in ("same", "valid"):
            check_pair("Conv2d", "padding", self.padding, 0, "'same', 'valid', ")
        if self.padding == "same" and pair(self.stride) != (1, 1):
            raise SettingError(f"Conv2d: padding 'same' keeps the size, and stride {self.stride!r} does not")
        check_choice("Conv2d", "padding_mode", self.padding_mode, get_args(PaddingMode))
        for name in ("in_channels", "out_channels"):
            if (getattr(self, name) or 0) % self.groups:
                raise SettingError(f"Conv2d: {name} {getattr(self, name)} cannot be split into {self.groups} groups")
        if self.weight is not None:
            check_initializer("Conv2d", "weight", self.weight)
        if not isinstance(self.bias, bool):
            check_initializer("Conv2d", "bias", self.bias, "True, False or ")
        self._lay_out()

    def _lay_out(self) -> None:
        """Find the borders that are added beforehand, and stride, padding and dilation as the kernels take them."""
        stride, dilation = pair(self.stride), pair(self.dilation)
        totals = [d * (size - 1) for d, size in zip(dilation, pair(self.kernel_size or 1), strict=True)]
        odd_h, odd_w = (total % 2 if self.padding == "same" else 0 for total in totals)
        if isinstance(self.padding, str):
            top, left = (total // 2 if self.padding == "same" else 0 for total in totals)
        else:
            top, left = pair(self.padding)
        if self.padding_mode == "zeros":  # which the kernels add by themselves, the same on both sides
            borders, padding = (0, odd_w, 0, odd_h), (top, left)
        else:
            borders, padding = (left, left + odd_w, top, top + odd_h), (0, 0)
        object.__setattr__(self, "borders", borders)
        object.__setattr__(self, "geometry", (stride, padding, dilation))

    def parameters(self) -> dict[str, Parameter]:
        i, o, (kh, kw) = int(self.in_channels or 0), int(self.out_channels or 0), pair(self.kernel_size or 1)
        parameters = {"weight": Parameter((o, i // self.groups, kh, kw), self.weight or VarianceScaling(1 / 3))}
        if self.bias is not False:
            bound = 1 / math.sqrt(max(i // self.groups * kh * kw, 1))
            parameters["bias"] = Parameter((o,), Uniform(-bound, bound) if self.bias is True else self.bias)
        return parameters

    def infer(self, *shapes: torch.Size) -> Conv2d:
        if self.in_channels is not None:
            return self
        if len(shapes[0]) != 4:
            raise ShapeError(
                f"in_channels follows from images (n, c, h, w), and the input has {len(shapes[0])} axes: give grey "
                "images an axis of one channel, or say in_channels"
            )
        if shapes[0][1] % self.groups:
            raise ShapeError(f"its channels cannot be split into {self.groups} groups")
        return replace(self, in_channels=shapes[0][1])

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        padded = pad(x, self.borders, self.padding_mode)
        return torch.conv2d(padded, p["weight"], p.get("bias"), *self.geometry, self.groups), x

    def backward(self, p: Values, x: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        if x.dim() == 3:
            (dxs,), gradients = self.backward(p, x[None], dy[None], needs)
            return (None if dxs is None else dxs[0],), gradients
        padded, weight = pad(x, self.borders, self.padding_mode), p["weight"]
        wanted = ["input" in needs, "weight" in needs, self.bias is not False and "bias" in needs]
        kernel = *self.geometry, False, (0, 0), self.groups
        dpadded, dweight, dbias = aten.convolution_backward(dy, padded, weight, weight.shape[:1], *kernel, wanted)
        gradients = {"weight": dweight, "bias": dbias}
        dx = unpad(dpadded, x, self.borders, self.padding_mode) if wanted[0] else None
        return (dx,), {name: gradient for name, gradient in gradients.items() if gradient is not None}

    def describe(self) -> str:
        chosen = differing(
            stride=(self.stride, 1), padding=(self.padding, 0), dilation=(self.dilation, 1), groups=(self.groups, 1)
        )
        mode = [] if self.padding_mode == "zeros" else [self.padding_mode]
        bias = ["no bias"] if self.bias is False else []
        channels = f"{self.in_channels or '?'} → {self.out_channels}"
        return ", ".join([f"{channels} {times(self.kernel_size or 1)}", *chosen, *mode, *bias])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, {self.in_channels or 'c'}, h, w), no smaller than the kernel of {times(self.kernel_size or 1)}"


def pad(x: Tensor, borders: Borders, mode: PaddingMode) -> Tensor:
    """x (..., h, w) with borders around it."""
    if not any(borders):
        return x
    if mode == "zeros":
        return aten.constant_pad_nd(x, borders)  # type: ignore[no-any-return]
    if mode == "circular":
        return aten._pad_circular(x, borders)  # type: ignore[no-any-return]
    return (aten.reflection_pad2d if mode == "reflect" else aten.replication_pad2d)(x, borders)  # type: ignore[no-any-return]


def unpad(dy: Tensor, x: Tensor, borders: Borders, mode: PaddingMode) -> Tensor:
    """The gradient of x from that of the padded x, which is written into."""
    if not any(borders):
        return dy
    if mode == "zeros":
        return dy[..., : x.shape[-2], : x.shape[-1]]
    if mode == "circular":
        left, right, top, bottom = borders
        return unwrap(unwrap(dy, -2, top, bottom), -1, left, right)
    kernel = aten.reflection_pad2d_backward if mode == "reflect" else aten.replication_pad2d_backward
    return kernel(dy, x, borders)  # type: ignore[no-any-return]


def unwrap(dy: Tensor, axis: int, before: int, after: int) -> Tensor:
    """The gradient along an axis that was continued circularly: what the borders received is added where it is from."""
    size = dy.shape[axis] - before - after
    dx = dy.narrow(axis, before, size)
    dx.narrow(axis, size - before, before).add_(dy.narrow(axis, 0, before))
    dx.narrow(axis, 0, after).add_(dy.narrow(axis, before + size, after))
    return dx
