"""Regression losses.

Squared error, absolute error, and combinations of both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Values, constant
from graphdl.operators.shared.loss import REDUCTIONS, Loss, above, check_equal, per_element
from graphdl.registry import register
from graphdl.settings import number, setting

__all__ = ["HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss"]

aten = torch.ops.aten


@register(kw_only=True)
class MSELoss(Loss):
    """Squared error: (x - target)²; dx = 2 (x - target) dy, dtarget = -dx.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    Kept for backward: x - target.
    """

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        difference = subtract(x, target)
        if self.reduction == "none":
            return difference.square(), difference
        flat = difference.reshape(-1)
        total = torch.dot(flat, flat)
        if self.reduction == "mean":
            total.mul_(constant(per_element(len(flat)), total))
        return total, difference

    def backward(self, p: Values, difference: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = difference * self.share(dy, difference.numel(), 2)
        return (dx, -dx if "target" in needs else None), {}


@register(kw_only=True)
class L1Loss(Loss):
    """Absolute error: |x - target|; dx = sign(x - target) dy, dtarget = -dx.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    Kept for backward: sign(x - target).
    """

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        difference = subtract(x, target)
        return self.reduce(difference.abs()), difference.sign()

    def backward(self, p: Values, sign: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = sign * self.share(dy, sign.numel())
        return (dx, -dx if "target" in needs else None), {}


@register(kw_only=True)
class SmoothL1Loss(Loss):
    """Absolute error, quadratic near 0: d² / (2 beta) where |d| < beta, else |d| - beta / 2, with d = x - target.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = clamp(d / beta, -1, 1) dy, dtarget = -dx. With beta 0 it is the L1Loss. Kept for backward: x and the target.
    Source: Girshick, "Fast R-CNN", 2015.
    """

    beta: float = setting(number(0), default=1.0)

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        target = target.to(x.dtype)
        return self.reduce(aten.smooth_l1_loss(x, target, REDUCTIONS["none"], self.beta)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = aten.smooth_l1_loss_backward(dy, *saved, self.kernel_reduction, self.beta)
        return (dx, -dx if "target" in needs else None), {}


@register(kw_only=True)
class HuberLoss(Loss):
    """Squared error, linear far from 0: d² / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = x - target.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = clamp(d, -delta, delta) dy, dtarget = -dx. It is delta times the SmoothL1Loss with beta = delta.
    Kept for backward: x and the target. Source: Huber, "Robust estimation of a location parameter", 1964.
    """

    delta: float = setting(above(0), default=1.0)

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        target = target.to(x.dtype)
        return self.reduce(aten.huber_loss(x, target, REDUCTIONS["none"], self.delta)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx = aten.huber_loss_backward(dy, *saved, self.kernel_reduction, self.delta)
        return (dx, -dx if "target" in needs else None), {}


def subtract(x: Tensor, target: Tensor) -> Tensor:
    """x - target. Raises ShapeError instead of broadcasting."""
    check_equal(x, target)
    return x - target
