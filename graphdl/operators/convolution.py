"""Convolutions."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Initializer, Uniform, VarianceScaling
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values
from graphdl.operators.sizes import pair, times
from graphdl.registry import register
from graphdl.settings import Pair, choice, described, either, flag, initializer, optional, setting, size, size_pair

__all__ = ["Conv2d"]

PaddingName: TypeAlias = Literal["same", "valid"]
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Borders: TypeAlias = tuple[int, int, int, int]
"""The number of columns and rows of padding: left, right, top, bottom."""

Geometry: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Stride, padding and dilation, (h, w) each."""

aten = torch.ops.aten


@register
class Conv2d(Operator):
    """Cross-correlation of images with learned filters: y[o] = bias[o] + sum_i weight[o, i] ⋆ x[i].

    x (n, i, h, w) or (i, h, w) -> y (n, o, h', w') or (o, h', w'); weight (o, i / groups, *kernel_size), bias (o).
    h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
    dx is the transposed convolution of dy; dweight correlates x with dy; dbias = sum dy over n, h', w'.

    kernel_size, stride, padding, dilation   one number, or a tuple for h and w
    padding       "valid" for none, "same" to keep the size, with an odd row or column added at the bottom or the right
    padding_mode  "zeros", "reflect", "replicate" or "circular"

    in_channels may be left out: it is inferred from the first input. weight and bias are initializers; by default
    both are Uniform ±1 / sqrt(i / groups times the kernel's area), as in torch.nn. Kept for backward: x, unpadded.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """

    in_channels: int | None = setting(optional(size()), default=None)
    out_channels: int | None = setting(optional(size()), default=None)
    kernel_size: Pair | None = setting(optional(size_pair()), default=None)
    stride: Pair = setting(size_pair(), default=1)
    padding: Pair | PaddingName = setting(either(choice(PaddingName), size_pair(0)), default=0)
    dilation: Pair = setting(size_pair(), default=1)
    groups: int = setting(size(), default=1)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    padding_mode: PaddingMode = setting(choice(PaddingMode), default="zeros")
    weight: Initializer | None = setting(optional(initializer()), default=None)

    slots: ClassVar = ("input",)
    family: ClassVar = "convolution"
    inferred: ClassVar = ("in_channels",)

    def check_settings(self) -> None:
        for name in ("out_channels", "kernel_size"):
            if getattr(self, name) is None:
                raise SettingError(
                    f"Conv2d: {name} is missing; write Conv2d(3, 16, 5) or Conv2d(out_channels=16, kernel_size=5)"
                )
        if self.padding == "same" and pair(self.stride) != (1, 1):
            raise SettingError(f"Conv2d: padding 'same' needs stride 1, not {self.stride!r}")
        for name in ("in_channels", "out_channels"):
            if (getattr(self, name) or 0) % self.groups:
                raise SettingError(f"Conv2d: {name} {getattr(self, name)} cannot be split into {self.groups} groups")

    @cached_property
    def borders(self) -> Borders:
        """The padding to add before the kernel, which itself adds zeros, equally on both sides."""
        odd_h, odd_w = (total % 2 if self.padding == "same" else 0 for total in self._totals)
        if self.padding_mode == "zeros":
            return 0, odd_w, 0, odd_h
        top, left = self._before
        return left, left + odd_w, top, top + odd_h

    @cached_property
    def geometry(self) -> Geometry:
        """Stride, padding and dilation, (h, w) each, as torch's kernels take them."""
        padding = self._before if self.padding_mode == "zeros" else (0, 0)
        return pair(self.stride), padding, pair(self.dilation)

    @property
    def _totals(self) -> tuple[int, int]:
        """By how much the kernel reduces h and w."""
        (dh, dw), (kh, kw) = pair(self.dilation), pair(self.kernel_size or 1)
        return dh * (kh - 1), dw * (kw - 1)

    @property
    def _before(self) -> tuple[int, int]:
        """The number of rows of padding at the top, and of columns on the left."""
        if isinstance(self.padding, str):
            h, w = self._totals
            return (h // 2, w // 2) if self.padding == "same" else (0, 0)
        return pair(self.padding)

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
                f"in_channels can be inferred from images (n, c, h, w), but the input has {len(shapes[0])} axes: give "
                "grey images an axis of one channel, or set in_channels"
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
        sizes = f"{self.in_channels or '?'} → {self.out_channels} {times(self.kernel_size or 1)}"
        shown = ["in_channels", "out_channels", "kernel_size", "weight", *(["bias"] if self.bias is not False else [])]
        return ", ".join([sizes, *described(self, *shown)])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, {self.in_channels or 'c'}, h, w), no smaller than the kernel of {times(self.kernel_size or 1)}"


def pad(x: Tensor, borders: Borders, mode: PaddingMode) -> Tensor:
    """x (..., h, w), padded."""
    if not any(borders):
        return x
    if mode == "zeros":
        return aten.constant_pad_nd(x, borders)  # type: ignore[no-any-return]
    if mode == "circular":
        return aten._pad_circular(x, borders)  # type: ignore[no-any-return]
    return (aten.reflection_pad2d if mode == "reflect" else aten.replication_pad2d)(x, borders)  # type: ignore[no-any-return]


def unpad(dy: Tensor, x: Tensor, borders: Borders, mode: PaddingMode) -> Tensor:
    """The gradient of x from the gradient of the padded x, which may be changed in place."""
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
    """The gradient along an axis with circular padding: that of the padding is added where its values came from."""
    size = dy.shape[axis] - before - after
    dx = dy.narrow(axis, before, size)
    dx.narrow(axis, size - before, before).add_(dy.narrow(axis, 0, before))
    dx.narrow(axis, 0, after).add_(dy.narrow(axis, before + size, after))
    return dx
