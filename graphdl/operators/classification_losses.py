"""Classification losses.

The target is one class out of several, or a set of classes, given by their indices.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Values
from graphdl.operators.shared.class_indices import class_axis, class_indices, expected_indices, integers
from graphdl.operators.shared.loss import CLASSES, INDICES, PREDICTION, Loss, WeightedLoss, check_equal, part_of_counted
from graphdl.operators.shared.target_values import advise_on_probabilities, check_counted
from graphdl.registry import register
from graphdl.settings import Check, integer, number, probability, setting

__all__ = ["CrossEntropyLoss", "MultiLabelMarginLoss", "MultiMarginLoss", "NLLLoss"]

Kept: TypeAlias = tuple[Tensor, Tensor, Tensor | None]

NEITHER = "the target is neither class indices nor probabilities"

SEVERAL = ". Divide each row by its sum; or use BCEWithLogitsLoss if a row may have several classes"

aten = torch.ops.aten


@register(kw_only=True)
class NLLLoss(WeightedLoss):
    """Negative log-likelihood of the target's class: -w_target x_target, for log-probabilities x.

    x (n, c, ...), as LogSoftmax returns them, target (n, ...) class indices -> (), or (n, ...) without reduction.
    dx = -w_target dy at the class of the target, else 0. Rows whose target is ignore_index do not count. The mean is
    over the weights of the rows that count: sum_n loss_n / sum_n w_target. class_weight holds one number w for each
    class. Kept for backward: x and the target.
    """

    ignore_index: int = setting(integer(), default=-100)

    slots: ClassVar = (PREDICTION, INDICES)

    @property
    def ignored(self) -> int:
        return self.ignore_index

    def part_of_each(self, p: Values, losses: Tensor, *inputs: Any) -> Tensor:
        if self.reduction != "mean":
            return super().part_of_each(p, losses)
        return part_of_counted(inputs[1], p.get("weight"), self.ignore_index, losses)

    def check_target(self, target: Tensor) -> str:
        if self.reduction == "mean":
            check_counted(target, self.ignore_index)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Kept]:
        target = class_indices(x, target)
        self.check_weight(p.get("weight"), x.shape[class_axis(x)])
        y, total = likelihood(x, target, p.get("weight"), self.kernel_reduction, self.ignore_index)
        return y, (x, target, total)

    def backward(self, p: Values, saved: Kept, dy: Tensor) -> Gradients:
        kernel = p.get("weight"), self.kernel_reduction, self.ignore_index
        return (likelihood_backward(dy, *saved, *kernel), None), {}

    def expects(self, *inputs: Tensor) -> str:
        return expected_indices(*inputs) or "a prediction (n, c, ...) with class indices (n, ...)"


@register(kw_only=True)
class CrossEntropyLoss(WeightedLoss):
    """Cross-entropy of logits: -sum_c q_c log softmax(x)_c; dx = (softmax(x) sum_c q_c - q) dy.

    x (n, c, ...) and as target either
      class indices (n, ...), integers: q is 1 at the target; rows with ignore_index do not count, or
      probabilities (n, c, ...): q = target, dtarget = -log softmax(x) dy
    -> (), or (n, ...) without reduction. The mean is over the rows that count.

    label_smoothing  e in [0, 1] replaces q by (1 - e) q + e / c
    class_weight     numbers w: q_c is replaced by w_c q_c, after the smoothing. For class indices the mean is then over
                     the weights of the targets, sum_n loss_n / sum_n w_target; for probabilities over the rows

    Kept for backward: log softmax(x) and the target.
    """

    ignore_index: int = setting(integer(), default=-100)
    label_smoothing: float = setting(probability(), default=0.0)

    slots: ClassVar = (PREDICTION, CLASSES)

    @property
    def ignored(self) -> int:
        return self.ignore_index

    def part_of_each(self, p: Values, losses: Tensor, *inputs: Any) -> Tensor:
        x, target = inputs
        if self.reduction != "mean" or target.shape == x.shape:
            return super().part_of_each(p, losses)
        return part_of_counted(target, p.get("weight"), self.ignore_index, losses)

    def check_target(self, target: Tensor) -> str:
        if target.is_floating_point():
            return "" if target.dim() < 2 else advise_on_probabilities(target, SEVERAL)
        if self.reduction == "mean":
            check_counted(target, self.ignore_index)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Kept]:
        axis, w = class_axis(x), p.get("weight")
        if not x.dim():
            raise ShapeError("the prediction has no axis of classes")
        self.check_weight(p.get("weight"), x.shape[axis])
        logs = torch.log_softmax(x, axis)
        if target.shape == x.shape:
            self.check_probabilities()
            q = spread(self.smooth(target.to(x.dtype), x.shape[axis]), w, axis)
            return self.reduce(-(logs * q).sum(axis)), (logs, q, None)
        target = class_indices(x, target, NEITHER)
        y, total = likelihood(logs, target, w, self.kernel_reduction, self.ignore_index)
        if self.label_smoothing:
            e = self.label_smoothing
            rest = -(logs.sum(axis) if w is None else torch.matmul(logs.movedim(axis, -1), w)).masked_fill_(
                target == self.ignore_index, 0
            )
            rest = rest.sum() / total if self.reduction == "mean" else self.reduce(rest)
            y = y * (1 - e) + rest * (e / x.shape[axis])
        return y, (logs, target, total)

    def backward(self, p: Values, saved: Kept, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        logs, target, total = saved
        axis, w, dtarget = class_axis(logs), p.get("weight"), None
        if total is None:
            dy = self.share(dy, logs.numel() // max(logs.shape[axis], 1))
            dy = dy.unsqueeze(axis) if self.reduction == "none" else dy
            dlogs = target * dy.neg()
            if "target" in needs:
                dtarget = spread(logs * dy * (self.label_smoothing - 1), w, axis)
        else:
            e, kernel = self.label_smoothing, (w, self.kernel_reduction, self.ignore_index)
            dlogs = likelihood_backward(dy * (1 - e) if e else dy, logs, target, total, *kernel)
            if e:
                rows = self.smoothing_backward(dy * (e / logs.shape[axis]), target, total, axis)
                dlogs = dlogs - rows if w is None else torch.addcmul(dlogs, rows, along(w, axis, logs), value=-1)
        return (aten._log_softmax_backward_data(dlogs, logs, axis, logs.dtype), dtarget), {}

    def smoothing_backward(self, dy: Tensor, target: Tensor, total: Tensor, axis: int) -> Tensor:
        """The gradient of each row's sum of w_c log softmax(x)_c, 0 where it is left out, with an axis of classes."""
        if self.reduction == "mean":
            dy = dy / total  # infinite where everything is left out
        return torch.where(target == self.ignore_index, 0, dy).unsqueeze(axis)

    def check_probabilities(self) -> None:
        """Raise ShapeError where classes are to be left out, which probabilities cannot name."""
        if self.ignore_index >= 0:
            raise ShapeError("ignore_index leaves out class indices, and the target holds probabilities")

    def smooth(self, target: Tensor, classes: int) -> Tensor:
        """(1 - e) q + e / c."""
        e = self.label_smoothing
        return target * (1 - e) + e / classes if e else target

    def expects(self, *inputs: Tensor) -> str:
        return (
            expected_indices(*inputs)
            or "a prediction (n, c, ...) with class indices (n, ...) or probabilities (n, c, ...)"
        )


@register(kw_only=True)
class MultiMarginLoss(WeightedLoss):
    """Hinge loss of several classes: sum_(k ≠ target) w_target max(0, margin - x_target + x_k)^p / c.

    x (n, c), target (n) class indices -> (), or (n) without reduction. The mean is over the rows. p is 1 or 2.
    dx_k = w_target p max(0, margin - x_target + x_k)^(p - 1) dy / c where that is positive; dx_target = -sum_k dx_k.
    class_weight holds one number w for each class. Kept for backward: x and the target.
    Source: Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", 2001.
    """

    p: int = setting(
        Check("1 or 2", lambda value: integer().holds(value) and value in (1, 2), schema={"enum": [1, 2]}), default=1
    )
    margin: float = setting(number(), default=1.0)

    slots: ClassVar = (PREDICTION, INDICES)

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        target = class_indices(x, target, most=2)
        self.check_weight(p.get("weight"), x.shape[-1])
        y = aten.multi_margin_loss(x, target, self.p, self.margin, p.get("weight"), self.kernel_reduction)
        return y, (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        if dy.is_meta:  # the kernel has no form without data
            return (torch.empty_like(saved[0]), None), {}
        kernel = self.p, self.margin, p.get("weight"), self.kernel_reduction
        return (aten.multi_margin_loss_backward(dy, *saved, *kernel), None), {}

    def expects(self, *inputs: Tensor) -> str:
        return expected_indices(*inputs) or "a prediction (n, c) with class indices (n)"


@register(kw_only=True)
class MultiLabelMarginLoss(Loss):
    """Hinge loss of a set of classes: sum_(j in set) sum_(k not in set) max(0, 1 - x_j + x_k) / c.

    x (n, c), target (n, c) integers -> (), or (n) without reduction. The mean is over the rows. A row of the target
    lists the classes of the set and ends at the first -1: (3, 0, -1, 1) is the set of the classes 3 and 0.
    Each positive term adds dy / c to dx_k and -dy / c to dx_j. There is no accuracy for such targets.
    Kept for backward: x, the target, and which classes are in the set.
    """

    slots: ClassVar = (PREDICTION, INDICES)
    judged: ClassVar = "nothing"

    def forward(
        self, p: Values, x: Tensor, target: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        check_equal(x, target)
        if x.dim() not in (1, 2) or not x.shape[-1]:
            raise ShapeError("the prediction must be (n, c) or (c), with at least one class")
        target = integers(target)
        y, chosen = aten.multilabel_margin_loss_forward(x, target, self.kernel_reduction)
        return y, (x, target, chosen)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor, Tensor], dy: Tensor) -> Gradients:
        x, target, chosen = saved
        if dy.is_meta:  # the kernel has no form without data
            return (torch.empty_like(x), None), {}
        return (aten.multilabel_margin_loss_backward(dy, x, target, self.kernel_reduction, chosen), None), {}

    def expects(self, *inputs: Tensor) -> str:
        x = inputs[0]
        return (
            f"a prediction (n, c) and a target (n, c) of class indices 0 to {x.shape[-1] - 1}, with -1 after the last"
        )


def likelihood(
    logs: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignored: int
) -> tuple[Tensor, Tensor]:
    """-w_target logs_target by row, reduced, and the sum of the weights of the rows that count."""
    if logs.dim() <= 2:
        return aten.nll_loss_forward(logs, target, weight, reduction, ignored)  # type: ignore[no-any-return]
    y, total = aten.nll_loss2d_forward(planes(logs), plane(target), weight, reduction, ignored)
    return y if reduction else y.view(target.shape), total


def likelihood_backward(
    dy: Tensor, logs: Tensor, target: Tensor, total: Tensor | None, weight: Tensor | None, reduction: int, ignored: int
) -> Tensor:
    """The gradient of the log-probabilities."""
    if logs.dim() <= 2:
        kernel = weight, reduction, ignored, total
        return aten.nll_loss_backward(dy, logs, target, *kernel)  # type: ignore[no-any-return]
    dy = dy if reduction else plane(dy)
    found = aten.nll_loss2d_backward(dy, planes(logs), plane(target), weight, reduction, ignored, total)
    return found.reshape(logs.shape)  # type: ignore[no-any-return]


def planes(x: Tensor) -> Tensor:
    """(n, c, ...) as (n, c, h, w), which the kernel takes."""
    return (x if x.dim() == 4 else x.reshape(*x.shape[:2], 1, x.shape[2:].numel())).contiguous()


def plane(target: Tensor) -> Tensor:
    """(n, ...) as (n, h, w)."""
    return target if target.dim() == 3 else target.reshape(target.shape[0], 1, target.shape[1:].numel())


def spread(x: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    """x times the weight of each class."""
    return x if weight is None else x * along(weight, axis, x)


def along(weight: Tensor, axis: int, x: Tensor) -> Tensor:
    """The weights of the classes along an axis of x."""
    return weight.view(-1, *[1] * (x.dim() - axis - 1))
