"""Regression losses.

Squared error, absolute error, and combinations of both.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.operators.operator import EVERYTHING, Gradients, InputGradients, Needs, Values, constant
from graphdl.operators.shared.loss import REDUCTIONS, Loss, above, check_equal, per_element
from graphdl.registry import register
from graphdl.settings import number, setting

__all__ = ["HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss"]

aten = torch.ops.aten

Kept: TypeAlias = tuple[Tensor, torch.dtype]
"""What backward needs: the difference or its sign, and the dtype of the target."""


@register(kw_only=True)
class MSELoss(Loss):
    """Squared error: (x - target)²; dx = 2 (x - target) dy, dtarget = -dx.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    Kept for backward: x - target.
    """

    same_shapes: ClassVar = True

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Kept]:
        difference = subtract(x, target)
        if self.reduction == "none":
            return difference.square(), (difference, target.dtype)
        flat = difference.reshape(-1)
        total = torch.dot(flat, flat)
        if self.reduction == "mean":
            total.mul_(constant(per_element(len(flat)), total))
        return total, (difference, target.dtype)

    def backward(self, p: Values, saved: Kept, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        difference, dtype = saved
        return opposite(difference * self.share(dy, difference.numel(), 2), dtype, needs), {}


@register(kw_only=True)
class L1Loss(Loss):
    """Absolute error: |x - target|; dx = sign(x - target) dy, dtarget = -dx.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    Kept for backward: sign(x - target).
    """

    same_shapes: ClassVar = True

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, Kept]:
        difference = subtract(x, target)
        return self.reduce(difference.abs()), (difference.sign(), target.dtype)

    def backward(self, p: Values, saved: Kept, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        sign, dtype = saved
        return opposite(sign * self.share(dy, sign.numel()), dtype, needs), {}


@register(kw_only=True)
class SmoothL1Loss(Loss):
    """Absolute error, quadratic near 0: d² / (2 beta) where |d| < beta, else |d| - beta / 2, with d = x - target.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = clamp(d / beta, -1, 1) dy, dtarget = -dx. With beta 0 it is the L1Loss. Kept for backward: x and the target.
    Source: Girshick, "Fast R-CNN", 2015.
    """

    beta: float = setting(number(0), default=1.0)

    same_shapes: ClassVar = True

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        return self.reduce(aten.smooth_l1_loss(x, target.to(x.dtype), REDUCTIONS["none"], self.beta)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        dx = aten.smooth_l1_loss_backward(dy, x, target.to(x.dtype), self.kernel_reduction, self.beta)
        return opposite(dx, target.dtype, needs), {}


@register(kw_only=True)
class HuberLoss(Loss):
    """Squared error, linear far from 0: d² / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = x - target.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = clamp(d, -delta, delta) dy, dtarget = -dx. It is delta times the SmoothL1Loss with beta = delta.
    Kept for backward: x and the target. Source: Huber, "Robust estimation of a location parameter", 1964.
    """

    delta: float = setting(above(0), default=1.0)

    same_shapes: ClassVar = True

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        return self.reduce(aten.huber_loss(x, target.to(x.dtype), REDUCTIONS["none"], self.delta)), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        dx = aten.huber_loss_backward(dy, x, target.to(x.dtype), self.kernel_reduction, self.delta)
        return opposite(dx, target.dtype, needs), {}


def subtract(x: Tensor, target: Tensor) -> Tensor:
    """x - target in the dtype of x. Raises ShapeError instead of broadcasting."""
    check_equal(x, target)
    return x - target.to(x.dtype)


def opposite(dx: Tensor, dtype: torch.dtype, needs: Needs) -> InputGradients:
    """dx, and -dx for a target of this dtype, if it is needed; a target of integers or booleans has no gradient."""
    return dx, (-dx).to(dtype) if "target" in needs and dtype.is_floating_point else None
