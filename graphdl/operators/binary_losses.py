"""Binary and multi-label losses.

Each element of the target is a separate label.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Buffer, Gradients, Needs, Values
from graphdl.operators.shared.loss import (
    REDUCTIONS,
    Loss,
    WeightedLoss,
    check_equal,
    check_spread,
    held,
    numbers,
)
from graphdl.operators.shared.nested import Nested, as_nested
from graphdl.operators.shared.target_values import check_labels, check_signs
from graphdl.registry import register
from graphdl.settings import either, number, optional, setting

__all__ = ["BCELoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss", "SoftMarginLoss"]

aten = torch.ops.aten


@register(kw_only=True)
class BCELoss(WeightedLoss):
    """Binary cross-entropy of probabilities: -w (target log x + (1 - target) log(1 - x)); the logs are at least -100.

    x (n, ...) in [0, 1], target (n, ...) in [0, 1] -> (), or (n, ...) without reduction. The mean is over all elements,
    without regard to the weights.
    dx = w (x - target) / (x (1 - x)) dy, dtarget = w (log(1 - x) - log x) dy.

    class_weight  numbers w that are broadcast to the target, aligned at the last axis, as torch's `weight` is

    BCEWithLogitsLoss is more accurate where x is near 0 or 1. Kept for backward: x and the target.
    """

    class_weight: Nested | None = setting(optional(either(number(), numbers())), default=None)

    same_shapes: ClassVar = True

    def check_target(self, target: Tensor) -> str:
        check_labels(target)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        check_spread(p.get("weight"), x, "class_weight")
        target = target.to(x.dtype)
        losses = aten.binary_cross_entropy(x, target, p.get("weight"), REDUCTIONS["none"])
        return self.reduce(losses), (x, target)  # the kernel that reduces is wrong where it writes into a given tensor

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        w = p.get("weight")
        dx = aten.binary_cross_entropy_backward(dy, x, target, w, self.kernel_reduction)
        if "target" not in needs:
            return (dx, None), {}
        dtarget = ((-x).log1p_().clamp_min_(-100) - x.log().clamp_min_(-100)) * self.share(dy, x.numel())
        return (dx, dtarget if w is None else dtarget * w), {}

    def expects(self, *inputs: Tensor) -> str:
        return "probabilities from 0 to 1, as Sigmoid gives them, and a target of the same shape"


@register(kw_only=True)
class BCEWithLogitsLoss(WeightedLoss):
    """Binary cross-entropy of logits: log(1 + exp x) - target x; dx = (sigmoid(x) - target) dy, dtarget = -x dy.

    x (n, ...), target (n, ...) in [0, 1] -> (), or (n, ...) without reduction. The mean is over all elements, without
    regard to the weights. Computed as max(x, 0) - target x + log(1 + exp(-|x|)), which does not overflow.

    class_weight  numbers w that are broadcast to the target, aligned at the last axis, as torch's `weight` is
    pos_weight    a number or numbers v, broadcast likewise: positive targets count more if v > 1, and less if v < 1.
                  The loss is w (v target log(1 + exp(-x)) + (1 - target) log(1 + exp x))

    With v and u = 1 + (v - 1) target: dx = w (u sigmoid(x) - v target) dy, dtarget = w (v log(1 + exp(-x)) -
    log(1 + exp x)) dy.
    """

    class_weight: Nested | None = setting(optional(either(number(), numbers())), default=None)
    pos_weight: Nested | None = setting(optional(either(number(), numbers())), default=None)

    same_shapes: ClassVar = True
    threshold: ClassVar = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pos_weight", as_nested(self.pos_weight))
        super().__post_init__()

    def buffers(self) -> dict[str, Buffer]:
        return super().buffers() | ({} if self.pos_weight is None else {"pos_weight": held(self.pos_weight)})

    def check_target(self, target: Tensor) -> str:
        check_labels(target)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        check_spread(p.get("weight"), x, "class_weight")
        check_spread(p.get("pos_weight"), x, "pos_weight")
        v = p.get("pos_weight")
        if v is not None:
            losses = aten.binary_cross_entropy_with_logits(
                x, target.to(x.dtype), p.get("weight"), v, REDUCTIONS["none"]
            )
            return self.reduce(losses), (x, target)
        return self.reduce(weighted(entropy(x, target), p)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        v, dy = p.get("pos_weight"), weighted(self.share(dy, x.numel()), p)
        target = target.to(x.dtype)
        if v is None:
            return (torch.sigmoid(x).sub_(target).mul_(dy), -x * dy if "target" in needs else None), {}
        dx = (target * (v - 1)).add_(1).mul_(torch.sigmoid(x)).sub_(target * v).mul_(dy)
        if "target" not in needs:
            return (dx, None), {}
        softplus = x.abs().neg_().exp_().log1p_() + x.neg().clamp_min_(0)
        return (dx, (softplus * (v - 1) - x) * dy), {}


@register(kw_only=True)
class SoftMarginLoss(Loss):
    """Logistic loss of scores: log(1 + exp(-target x)), with targets 1 and -1.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = -target sigmoid(-target x) dy, dtarget = -x sigmoid(-target x) dy. Unlike in torch, large scores do not
    overflow. Kept for backward: x and the target.
    """

    same_shapes: ClassVar = True
    threshold: ClassVar = 0.0
    target_threshold: ClassVar = 0.0

    def check_target(self, target: Tensor) -> str:
        check_signs(target)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        z = target * x
        return self.reduce(z.abs().neg_().exp_().log1p_() + z.neg_().clamp_min_(0)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        slope = torch.sigmoid((target * x).neg_()) * self.share(dy, x.numel(), -1)
        return (slope * target, slope * x if "target" in needs else None), {}

    def expects(self, *inputs: Tensor) -> str:
        return "a prediction and a target of the same shape, whose elements are 1 or -1"


@register(kw_only=True)
class MultiLabelSoftMarginLoss(WeightedLoss):
    """Logistic loss of several labels per row: the mean over the classes of w (log(1 + exp x) - target x).

    x (n, c), target (n, c) of 0 and 1 -> (), or (n) without reduction. There may be other axes before the last one.
    dx = w (sigmoid(x) - target) dy / c, dtarget = -w x dy / c. Accuracy counts each label: x > 0 is 1.
    It is the mean of BCEWithLogitsLoss, with the classes averaged in "sum" and "none" too.
    Kept for backward: x and the target.
    """

    same_shapes: ClassVar = True
    threshold: ClassVar = 0.0
    judged: ClassVar = "element"

    def check_target(self, target: Tensor) -> str:
        check_labels(target)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        if not x.dim():
            raise ShapeError("the prediction has no axis of classes")
        self.check_weight(p.get("weight"), x.shape[-1])
        return self.reduce(weighted(entropy(x, target), p).mean(-1)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        classes = x.shape[-1]
        dy = self.share(dy, x.numel() // max(classes, 1), 1 / max(classes, 1))
        dy = weighted(dy.unsqueeze(-1) if self.reduction == "none" else dy, p)
        return (torch.sigmoid(x).sub_(target.to(x.dtype)).mul_(dy), -x * dy if "target" in needs else None), {}

    def expects(self, *inputs: Tensor) -> str:
        return "a prediction (n, c) and a target (n, c), whose elements are 0 or 1"


def entropy(x: Tensor, target: Tensor) -> Tensor:
    """log(1 + exp x) - target x of each element, as max(x, 0) - target x + log(1 + exp(-|x|))."""
    return x.clamp_min(0).sub_(target * x).add_(x.abs().neg_().exp_().log1p_())


def weighted(losses: Tensor, p: Values) -> Tensor:
    """The losses, or their gradient, times the weights of the classes."""
    return losses * p["weight"] if "weight" in p else losses
