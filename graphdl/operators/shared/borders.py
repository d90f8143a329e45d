"""Padding around the axes of space.

It holds zeros, or numbers of the input itself.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Borders: TypeAlias = tuple[int, ...]
"""The padding before and after each axis, from the last axis on: left, right, top, bottom, front, back."""

aten = torch.ops.aten

KERNELS = {
    "reflect": (aten.reflection_pad1d, aten.reflection_pad2d, aten.reflection_pad3d),
    "replicate": (aten.replication_pad1d, aten.replication_pad2d, aten.replication_pad3d),
}
BACKWARD_KERNELS = {
    "reflect": (aten.reflection_pad1d_backward, aten.reflection_pad2d_backward, aten.reflection_pad3d_backward),
    "replicate": (aten.replication_pad1d_backward, aten.replication_pad2d_backward, aten.replication_pad3d_backward),
}


def pad(x: Tensor, borders: Borders, mode: PaddingMode) -> Tensor:
    """x (..., *space), padded."""
    if not any(borders):
        return x
    if mode == "zeros":
        return aten.constant_pad_nd(x, borders)  # type: ignore[no-any-return]
    if mode == "circular":
        return aten._pad_circular(x, borders)  # type: ignore[no-any-return]
    return KERNELS[mode][len(borders) // 2 - 1](x, borders)  # type: ignore[no-any-return]


def unpad(dy: Tensor, x: Tensor, borders: Borders, mode: PaddingMode) -> Tensor:
    """The gradient of x from the gradient of the padded x, which may be changed in place."""
    if not any(borders):
        return dy
    pairs = list(zip(borders[::2], borders[1::2], strict=True))
    if mode in KERNELS:
        return BACKWARD_KERNELS[mode][len(pairs) - 1](dy, x, borders)  # type: ignore[no-any-return]
    for k, (before, after) in enumerate(pairs):
        axis = -1 - k
        dy = unwrap(dy, axis, before, after) if mode == "circular" else dy.narrow(axis, before, x.shape[axis])
    return dy


def unwrap(dy: Tensor, axis: int, before: int, after: int) -> Tensor:
    """The gradient along an axis with circular padding: that of the padding is added where its values came from."""
    size = dy.shape[axis] - before - after
    dx = dy.narrow(axis, before, size)
    dx.narrow(axis, size - before, before).add_(dy.narrow(axis, 0, before))
    dx.narrow(axis, 0, after).add_(dy.narrow(axis, before + size, after))
    return dx
