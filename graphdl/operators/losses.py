"""Losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values, constant
from graphdl.registry import register
from graphdl.settings import choice, integer, number, probability, setting
from graphdl.slots import InputSlot

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "L1Loss", "Loss", "MSELoss"]

Reduction: TypeAlias = Literal["mean", "sum", "none"]
REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # the numbers that torch's kernels use

aten = torch.ops.aten


PREDICTION = InputSlot("prediction", role="prediction")
TARGET = InputSlot("target", role="target")


@dataclass(frozen=True, kw_only=True)
class Loss(Operator):
    """prediction, target -> loss.

    reduction  "mean" or "sum" over the elements, or "none" for no reduction
    weight     the factor of the loss in the network's total loss. It scales the gradient, but not the node's value

    A loss with other inputs declares other slots, for example ("anchor", "positive", "negative"). What feeds
    slots with the role "prediction" is returned by net.predict; inputs that feed slots with the role "target" take the
    targets of fit. Metrics are computed for losses with one slot of each role.
    """

    reduction: Reduction = setting(choice(Reduction), default="mean")
    weight: float = setting(number(), default=1.0)

    slots: ClassVar[tuple[str, ...] | None] = (PREDICTION, TARGET)
    family: ClassVar = "loss"
    threshold: ClassVar[float] = 0.5
    """The value above which a single prediction counts as class 1."""

    @property
    def ignored(self) -> int | None:
        """The class index that is left out of loss and accuracy, or None."""
        return None

    def reduce(self, losses: Tensor) -> Tensor:
        """The mean or the sum of the losses, or the losses without a reduction."""
        if self.reduction == "mean":
            return losses.mean()
        return losses.sum() if self.reduction == "sum" else losses

    def share(self, dy: Tensor, count: int, factor: int = 1) -> Tensor:
        """The gradient of the loss of each of `count` elements, times a factor."""
        if self.reduction == "mean":
            return dy * constant(factor / max(count, 1), dy)
        return dy if factor == 1 else dy * constant(factor, dy)

    def expects(self, *inputs: Tensor) -> str:
        return "a prediction and a target of the same shape"


@register(kw_only=True)
class MSELoss(Loss):
    """Squared error: (x - target)²; dx = 2 (x - target) dy, dtarget = -dx.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    """

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        difference = subtract(x, target)
        if self.reduction == "none":
            return difference.square(), difference
        flat = difference.reshape(-1)
        total, count = torch.dot(flat, flat), len(flat)
        if self.reduction == "mean":
            total.mul_(constant(1 / count if count else math.nan, total))
        return total, difference

    def backward(self, p: Values, difference: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = difference * self.share(dy, difference.numel(), 2)
        return (dx, -dx if "target" in needs else None), {}


@register(kw_only=True)
class L1Loss(Loss):
    """Absolute error: |x - target|; dx = sign(x - target) dy, dtarget = -dx.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    """

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        difference = subtract(x, target)
        return self.reduce(difference.abs()), difference.sign()

    def backward(self, p: Values, sign: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = sign * self.share(dy, sign.numel())
        return (dx, -dx if "target" in needs else None), {}


@register(kw_only=True)
class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits: log(1 + exp x) - target x; dx = (sigmoid(x) - target) dy, dtarget = -x dy.

    x (n, ...), target (n, ...) in [0, 1] -> (), or (n, ...) without reduction. The mean is over all elements.
    Computed as max(x, 0) - target x + log(1 + exp(-|x|)), which does not overflow.
    """

    threshold: ClassVar = 0.0

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        losses = x.clamp_min(0) - target * x + x.abs().neg_().exp_().log1p_()
        return self.reduce(losses), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        dy = self.share(dy, x.numel())
        return ((torch.sigmoid(x) - target.to(x.dtype)) * dy, -x * dy if "target" in needs else None), {}


@register(kw_only=True)
class CrossEntropyLoss(Loss):
    """Cross-entropy of logits: -sum_c q_c log softmax(x)_c; dx = (softmax(x) sum_c q_c - q) dy.

    x (n, c, ...) and as target either
      class indices (n, ...), integers: q is 1 at the target; rows with ignore_index are left out, or
      probabilities (n, c, ...): q = target, dtarget = -log softmax(x) dy
    -> (), or (n, ...) without reduction. The mean is over the rows not left out. label_smoothing e in [0, 1] replaces q
    by (1 - e) q + e / c.
    """

    ignore_index: int = setting(integer(), default=-100)
    label_smoothing: float = setting(probability(), default=0.0)

    slots: ClassVar = (PREDICTION, InputSlot("target", role="target", kind="class"))

    @property
    def ignored(self) -> int:
        return self.ignore_index

    def forward(
        self, p: Values, x: Tensor, target: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor | None]]:
        axis = class_axis(x)
        logs = torch.log_softmax(x, axis)
        if target.shape == x.shape:
            q, counts = self.smooth(target.to(x.dtype), x.shape[axis]), None
            return self.reduce(-(logs * q).sum(axis)), (logs, q, counts)
        target = class_indices(x, target, axis)
        if x.dim() == 2 and not self.label_smoothing:
            kernel = REDUCTIONS[self.reduction], self.ignore_index
            loss, total = aten.nll_loss_forward(logs, target, None, *kernel)
            return loss, (logs, target, total)
        counts = target != self.ignore_index
        chosen = target.masked_fill(~counts, 0).unsqueeze(axis)
        q = self.smooth(torch.zeros_like(logs).scatter_(axis, chosen, 1), x.shape[axis]) * counts.unsqueeze(axis)
        losses = -(logs * q).sum(axis)
        reduced = losses.sum() / counts.sum() if self.reduction == "mean" else self.reduce(losses)
        return reduced, (logs, q, counts)

    def backward(
        self,
        p: Values,
        saved: tuple[Tensor, Tensor, Tensor | None],
        dy: Tensor,
        needs: Needs = EVERYTHING,
    ) -> Gradients:
        logs, q, counts = saved
        axis = class_axis(logs)
        if not q.is_floating_point():
            dlogs = aten.nll_loss_backward(dy, logs, q, None, REDUCTIONS[self.reduction], self.ignore_index, counts)
            return (aten._log_softmax_backward_data(dlogs, logs, axis, logs.dtype), None), {}
        if self.reduction == "mean":
            dy = dy / max(logs.numel() // logs.shape[axis], 1) if counts is None else dy / counts.sum().clamp_min(1)
        elif self.reduction == "none":
            dy = dy.unsqueeze(axis)
        dx = (logs.exp() * q.sum(axis, keepdim=True) - q) * dy
        wanted = counts is None and "target" in needs
        return (dx, logs * dy * (self.label_smoothing - 1) if wanted else None), {}

    def smooth(self, target: Tensor, classes: int) -> Tensor:
        """(1 - e) q + e / c."""
        e = self.label_smoothing
        return target * (1 - e) + e / classes if e else target

    def expects(self, *inputs: Tensor) -> str:
        x, target = inputs
        axis = class_axis(x)
        if target.shape == row_shape(x, axis) and target.numel():
            return f"class indices 0 to {x.shape[axis] - 1}; the target's are from {target.min()} to {target.max()}"
        return "a prediction (n, c, ...) with class indices (n, ...) or probabilities (n, c, ...)"


def subtract(x: Tensor, target: Tensor) -> Tensor:
    """x - target. Raises ShapeError instead of broadcasting."""
    check_equal(x, target)
    return x - target


def check_equal(x: Tensor, target: Tensor) -> None:
    """Raise ShapeError for different shapes, which torch would broadcast."""
    if x.shape != target.shape:
        raise ShapeError("the prediction and the target differ in shape")


def class_indices(x: Tensor, target: Tensor, axis: int) -> Tensor:
    """The target as class indices. Raises ShapeError for another shape and for floats."""
    if target.shape != row_shape(x, axis):
        raise ShapeError("the target is neither class indices nor probabilities")
    if target.is_floating_point() and not target.is_meta:
        raise ShapeError("the target has the shape of class indices but holds floats: give integers, target.long()")
    return target.long()


def class_axis(x: Tensor) -> int:
    """Axis 1, or the only axis of a single row."""
    return 1 if x.dim() > 1 else 0


def row_shape(x: Tensor, axis: int) -> torch.Size:
    """The shape without the axis of classes."""
    return x.shape[:axis] + x.shape[axis + 1 :]
