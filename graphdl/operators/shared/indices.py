"""Indices: the checks and texts of tensors of indices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphdl.errors import ShapeError


def as_indices(x: Tensor, name: str = "indices") -> Tensor:
    """Integers as int32 or int64, which most kernels take as indices; those that only take int64 are given x.long().

    Raises ShapeError for floats and booleans, which a tensor without data may have: only its shape counts.
    """
    if x.dtype is torch.int64 or x.dtype is torch.int32:
        return x
    if (x.is_floating_point() or x.is_complex() or x.dtype is torch.bool) and not x.is_meta:
        raise ShapeError(f"the {name} are {str(x.dtype).removeprefix('torch.')}: give integers, x.long()")
    return x.long()


def range_of(x: Any = None) -> str:
    """The smallest and the largest index for the text of an error; "" where there is none."""
    if not isinstance(x, Tensor) or x.is_meta or x.is_floating_point() or x.is_complex() or not x.numel():
        return ""
    return f"; these are from {int(x.min())} to {int(x.max())}"
