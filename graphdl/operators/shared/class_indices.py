"""Class indices as the targets of losses."""

from __future__ import annotations

import torch
from torch import Tensor

from graphdl.errors import ShapeError


def class_indices(
    x: Tensor, target: Tensor, wrong: str = "the target is not one class index for each row", most: int | None = None
) -> Tensor:
    """The target as class indices. Raises ShapeError for another shape and for floats; `most` bounds the axes of x."""
    if not x.dim() or (most and x.dim() > most):
        raise ShapeError("the prediction must be (n, c)" if most else "the prediction has no axis of classes")
    if target.shape != row_shape(x, class_axis(x)):
        column = target.dim() > 1 and target.shape[1] == 1 and target.squeeze(1).shape == row_shape(x, class_axis(x))
        last = x.dim() > 2 and target.shape == x.shape[:-1]
        axis = ": the classes stand on axis 1, put Transpose(1, -1) before the loss" if last else ""
        raise ShapeError(f"{wrong}{': write target.squeeze(1)' if column else axis}")
    return integers(target)


def integers(target: Tensor) -> Tensor:
    """The target in the type that kernels take. Raises ShapeError for floats."""
    if target.is_floating_point() and not target.is_meta:
        raise ShapeError("the target has the shape of class indices but holds floats: give integers, target.long()")
    return target.long()


def expected_indices(x: Tensor, target: Tensor) -> str:
    """What the target must hold, if it has the shape of class indices; else nothing."""
    axis = class_axis(x)
    if target.shape != row_shape(x, axis) or not target.numel():
        return ""
    low, high, most = int(target.min()), int(target.max()), x.shape[axis] - 1
    hint = f": give the layer before {high + 1} outputs" if high > most else ""
    hint = ": classes count from 0, write target - 1" if low == 1 and high == most + 1 else hint
    hint = f": leave rows out by ignore_index={low}" if low < 0 else hint
    hint = ": for one output use BCEWithLogitsLoss" if most == 0 else hint
    return f"class indices 0 to {most}; the target's are from {low} to {high}{hint}"


def class_axis(x: Tensor) -> int:
    """Axis 1, or the only axis of a single row."""
    return 1 if x.dim() > 1 else 0


def row_shape(x: Tensor, axis: int) -> torch.Size:
    """The shape without the axis of classes."""
    return x.shape[:axis] + x.shape[axis + 1 :]
