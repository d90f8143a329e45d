"""Similarity and ranking losses.

They compare inputs: similar or not, nearer or farther, higher or lower.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Values
from graphdl.operators.shared.loss import TARGET, Loss, above, check_equal
from graphdl.operators.shared.target_values import check_signs
from graphdl.registry import register
from graphdl.settings import Check, flag, number, setting
from graphdl.slots import InputSlot

__all__ = ["CosineEmbeddingLoss", "HingeEmbeddingLoss", "MarginRankingLoss", "TripletMarginLoss"]

COMPARED = InputSlot("input1", role="prediction"), InputSlot("input2", role="prediction")
TINY = 9.999999960041972e-13
"""What torch adds to the squared lengths of vectors against a length of 0: 1e-12, rounded to single precision."""


def order() -> Check:
    """A number above 0, or infinity."""
    return Check(
        "a number above 0, or math.inf",
        lambda value: value == math.inf or (number(0).holds(value) and value),
        schema={"type": "number", "exclusiveMinimum": 0},
    )


class Comparison(Loss):
    """A loss without accuracy: targets of 1 and -1 say how inputs compare, or there are none."""

    judged: ClassVar = "nothing"


@register(kw_only=True)
class HingeEmbeddingLoss(Comparison):
    """Loss of the distance of a pair: x where the target is 1, for similar, and max(0, margin - x) where it is -1.

    x (n, ...), target (n, ...) of 1 and -1 -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = dy where the target is 1, and -dy where it is -1 and x <= margin. Kept for backward: x and the target.
    """

    margin: float = setting(number(), default=1.0)

    def check_target(self, target: Tensor) -> str:
        check_signs(target)
        return ""

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        return self.reduce(torch.where(target == 1, x, (self.margin - x).clamp_min_(0))), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        x, target = saved
        dy = self.share(dy, x.numel())
        return (torch.where(target == 1, dy, torch.where(x > self.margin, 0, -dy)), None), {}

    def expects(self, *inputs: Tensor) -> str:
        return "a prediction and a target of the same shape, whose elements are 1 or -1"


@register(kw_only=True)
class MarginRankingLoss(Comparison):
    """Ranking loss of two scores: max(0, margin - target (x1 - x2)); target 1 ranks x1 higher, and -1 ranks x2 higher.

    x1 (n, ...), x2 (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    Where the loss is positive, dx1 = -target dy, dx2 = target dy, dtarget = (x2 - x1) dy.
    Kept for backward: the inputs and where the loss is positive.
    """

    margin: float = setting(number(), default=0.0)

    slots: ClassVar = (*COMPARED, TARGET)

    def check_target(self, target: Tensor) -> str:
        check_signs(target)
        return ""

    def forward(self, p: Values, x1: Tensor, x2: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Values]:
        check_equal(x1, x2, target)
        losses = self.margin - target * (x1 - x2)
        return self.reduce(losses.clamp_min(0)), {"x1": x1, "x2": x2, "target": target, "positive": losses >= 0}

    def backward(self, p: Values, saved: Values, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        d = self.share(dy, saved["x1"].numel()) * saved["positive"]
        dx2 = saved["target"] * d
        dtarget = (saved["x2"] - saved["x1"]) * d if "target" in needs else None
        return (-dx2 if "input1" in needs else None, dx2, dtarget), {}

    def expects(self, *inputs: Tensor) -> str:
        return "two inputs and a target of the same shape, whose elements are 1 or -1"


@register(kw_only=True)
class CosineEmbeddingLoss(Comparison):
    """Loss of the angle of a pair: 1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1.

    x1 (n, i), x2 (n, i), target (n) -> (), or (n) without reduction. cos = x1 · x2 / (|x1| |x2|), with 1e-12 added to
    the squared norms. dx1 = dcos (x2 / (|x1| |x2|) - cos x1 / |x1|²), and dx2 likewise.
    Kept for backward: the inputs, and for each row the cosine and the squared norms.
    """

    margin: float = setting(number(), default=0.0)

    slots: ClassVar = (*COMPARED, TARGET)

    def check_target(self, target: Tensor) -> str:
        check_signs(target)
        return ""

    def forward(self, p: Values, x1: Tensor, x2: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Values]:
        if x1.shape != x2.shape or x1.dim() not in (1, 2) or target.shape != x1.shape[:-1]:
            raise ShapeError("the inputs do not fit together")
        square1, square2 = (x1 * x1).sum(-1).add_(TINY), (x2 * x2).sum(-1).add_(TINY)
        cos = (x1 * x2).sum(-1).div_((square1 * square2).sqrt_())
        losses = torch.where(target == 1, 1 - cos, (cos - self.margin).clamp_min_(0))
        kept = {"x1": x1, "x2": x2, "target": target, "cos": cos, "square1": square1, "square2": square2}
        return self.reduce(losses), kept

    def backward(self, p: Values, saved: Values, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x1, x2, cos, square1, square2 = (saved[name] for name in ("x1", "x2", "cos", "square1", "square2"))
        dy = self.share(dy, cos.numel())
        dcos = torch.where(saved["target"] == 1, -dy, torch.where(cos < self.margin, 0, dy))
        across, along = (dcos * (square1 * square2).rsqrt_()).unsqueeze(-1), dcos * cos
        dx1 = x2 * across - x1 * (along / square1).unsqueeze(-1) if "input1" in needs else None
        dx2 = x1 * across - x2 * (along / square2).unsqueeze(-1) if "input2" in needs else None
        return (dx1, dx2, None), {}

    def expects(self, *inputs: Tensor) -> str:
        return "two inputs (n, i) and a target (n), whose elements are 1 or -1"


@register(kw_only=True)
class TripletMarginLoss(Comparison):
    """Distances of an anchor a to a positive and to a negative: max(0, d(a, positive) - d(a, negative) + margin).

    a (n, i), positive (n, i), negative (n, i) -> (), or (n) without reduction. d(u, v) = |u - v + eps|_p.
    With swap, d(positive, negative) takes the place of d(a, negative) where it is smaller.
    Where the loss is positive, d(u, v) has the gradient sign(z) (|z| / |z|_p)^(p - 1) dy with z = u - v + eps; it is
    added to du and subtracted from dv, and with the opposite signs for the distance to the negative.
    Kept for backward: the inputs, the distances and where the loss is positive.
    Source: Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses", 2016.
    """

    margin: float = setting(above(0), default=1.0)
    p: float = setting(order(), default=2.0)
    eps: float = setting(number(), default=1e-6)
    swap: bool = setting(flag(), default=False)

    slots: ClassVar = tuple(InputSlot(name, role="prediction") for name in ("anchor", "positive", "negative"))

    def forward(
        self, p: Values, a: Tensor, positive: Tensor, negative: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        check_equal(a, positive, negative)
        if not a.dim():
            raise ShapeError("the inputs have no axis of features")
        near, far = self.distance(a, positive), self.distance(a, negative)
        kept = [near, far, self.distance(positive, negative)] if self.swap else [near, far]
        losses = near - (torch.minimum(far, kept[2]) if self.swap else far) + self.margin
        return self.reduce(losses.clamp_min(0)), (a, positive, negative, losses >= 0, *kept)

    def backward(self, p: Values, saved: tuple[Tensor, ...], dy: Tensor) -> Gradients:
        a, positive, negative, active, near, far, *swapped = saved
        d = self.share(dy, near.numel()) * active
        dnear = self.unit(a, positive, near, d)
        if not swapped:
            dfar = self.unit(a, negative, far, d)
            return (dnear - dfar, -dnear, dfar), {}
        part = torch.where(far < swapped[0], d, torch.where(far > swapped[0], 0, d / 2))  # torch halves a tie
        dfar, dswapped = self.unit(a, negative, far, part), self.unit(positive, negative, swapped[0], d - part)
        return (dnear - dfar, -dnear - dswapped, dfar + dswapped), {}

    def distance(self, u: Tensor, v: Tensor) -> Tensor:
        """|u - v + eps|_p."""
        found: Tensor = torch.linalg.vector_norm((u - v).add_(self.eps), self.p, -1)
        return found

    def unit(self, u: Tensor, v: Tensor, distance: Tensor, d: Tensor) -> Tensor:
        """The gradient of the distance from v to u, by u, times d; 0 where they are one point."""
        z, distance, d = (u - v).add_(self.eps), distance.unsqueeze(-1), d.unsqueeze(-1)
        if self.p == 1:
            return z.sign_().mul_(d)
        if self.p == math.inf:
            largest = z.abs() == distance
            return z.sign_().mul_(largest).mul_(d / largest.sum(-1, keepdim=True))
        if self.p == 2:
            return z.mul_(torch.where(distance == 0, 0, d / distance))
        slope = z.abs().mul_(torch.where(distance == 0, 0, 1 / distance)).pow_(self.p - 1)
        slope = slope.masked_fill_(z == 0, 0) if self.p < 1 else slope
        return slope.copysign_(z).mul_(d)

    def expects(self, *inputs: Tensor) -> str:
        return "an anchor, a positive and a negative of the same shape (n, i)"
