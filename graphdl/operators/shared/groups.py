"""Normalization of groups of channels by torch's kernels.

GroupNorm and InstanceNorm share these functions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphdl.operators.operator import Needs, Values

aten = torch.ops.aten

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Kept(NamedTuple):
    """What the backward of a group normalization needs: x, and mean and 1 / standard deviation (n, groups)."""

    x: Tensor
    mean: Tensor
    invstd: Tensor


def normalize_groups(p: Values, x: Tensor, groups: int, eps: float) -> tuple[Tensor, Kept]:
    """x (n, c, ...) with mean 0 and variance 1 in each group of channels, times weight plus bias where p has them."""
    x = x.contiguous(memory_format=memory_format(x, groups))
    y, mean, invstd = aten.native_group_norm(x, p.get("weight"), p.get("bias"), *sizes(x), groups, eps)
    return y, Kept(x, mean, invstd)


def normalize_groups_backward(
    p: Values, kept: Kept, groups: int, dy: Tensor, needs: Needs
) -> tuple[Tensor | None, Values]:
    """(dx, {"weight": dweight, "bias": dbias}), without the gradients that are not needed."""
    x = kept.x
    wanted = ["input" in needs, *(name in p and name in needs for name in ("weight", "bias"))]
    dy = dy.contiguous(memory_format=memory_format(x, groups))
    found = aten.native_group_norm_backward(dy, *kept, p.get("weight"), *sizes(x), groups, wanted)
    dx, *gradients = (tensor if asked else None for tensor, asked in zip(found, wanted, strict=True))
    return dx, {name: tensor for name, tensor in zip(("weight", "bias"), gradients, strict=True) if tensor is not None}


def memory_format(x: Tensor, groups: int) -> torch.memory_format:
    """Channels last where x is laid out so and groups have several channels, else contiguous.

    The kernels take both, but are slow on channels last with one channel in a group.
    """
    last = FORMATS.get(x.dim())
    if last is None or groups == x.shape[1] or x.is_contiguous() or not x.is_contiguous(memory_format=last):
        return torch.contiguous_format
    return last


def sizes(x: Tensor) -> tuple[int, int, int]:
    """(n, c, number of positions)."""
    return x.shape[0], x.shape[1], x.shape[2:].numel()
