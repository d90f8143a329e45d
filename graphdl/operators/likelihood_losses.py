"""Likelihood and divergence losses.

Negative log-likelihoods of counts and of real numbers, and the divergence of distributions.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Values, constant
from graphdl.operators.shared.loss import PREDICTION, TARGET, Loss, above, check_equal, per_element
from graphdl.operators.shared.target_values import advise_on_probabilities, sums_to_one
from graphdl.registry import register
from graphdl.settings import choice, flag, number, setting

__all__ = ["GaussianNLLLoss", "KLDivLoss", "PoissonNLLLoss"]

WithBatchMean: TypeAlias = Literal["mean", "batchmean", "sum", "none"]


@register(kw_only=True)
class KLDivLoss(Loss):
    """Kullback-Leibler divergence of each element: target (log target - x), for log-probabilities x.

    x (n, ...), target (n, ...) probabilities -> (), or (n, ...) without reduction.
    dx = -target dy, dtarget = (log target + 1 - x) dy.

    reduction   "batchmean" is the sum divided by n, which is the divergence; "mean" divides by the number of elements
    log_target  whether the target holds log-probabilities: the loss is then exp(target) (target - x), with
                dx = -exp(target) dy and dtarget = exp(target) (target - x + 1) dy

    Kept for backward: x and the target.
    """

    reduction: str = setting(choice(WithBatchMean), default="mean")
    log_target: bool = setting(flag(), default=False)

    def check_target(self, target: Tensor) -> str:
        if self.log_target or target.dim() < 2:
            return ""
        advice = advise_on_probabilities(target, ". Divide each row by its sum")
        return "" if any(map(partial(sums_to_one, target), range(target.dim()))) else advice

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        target = target.to(x.dtype)
        losses = (target - x) * target.exp() if self.log_target else torch.xlogy(target, target).sub_(target * x)
        return self.reduce(losses), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        dy = dy * constant(1 / max(rows(x), 1), dy) if self.reduction == "batchmean" else self.share(dy, x.numel())
        q = target.exp() if self.log_target else target
        dtarget = None
        if "target" in needs:
            dtarget = q * (target - x + 1) * dy if self.log_target else (target.log() - x + 1) * dy
        return (q * dy.neg(), dtarget), {}

    def part_of_each(self, p: Values, losses: Tensor, *inputs: Any) -> Tensor:
        if self.reduction == "batchmean":
            return constant(per_element(rows(losses)), losses)
        return super().part_of_each(p, losses)

    def reduce(self, losses: Tensor) -> Tensor:
        if self.reduction == "batchmean":
            return losses.sum() * constant(per_element(rows(losses)), losses)
        return super().reduce(losses)


@register(kw_only=True)
class PoissonNLLLoss(Loss):
    """Negative log-likelihood of counts, for the logarithm x of their mean: exp(x) - target x.

    x (n, ...), target (n, ...) -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = (exp(x) - target) dy.

    log_input  False if x is the mean itself: x - target log(x + eps), dx = (1 - target / (x + eps)) dy
    full       whether to add Stirling's approximation of log(target!), for targets above 1:
               target log(target) - target + log(2 pi target) / 2

    dtarget = -x dy, or -log(x + eps) dy without log_input; with full, (log(target) + 1 / (2 target)) dy is added.
    Kept for backward: x and the target.
    """

    log_input: bool = setting(flag(), default=True)
    full: bool = setting(flag(), default=False)
    eps: float = setting(number(0), default=1e-8)

    judged: ClassVar = "nothing"

    def forward(self, p: Values, x: Tensor, target: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        check_equal(x, target)
        target = target.to(x.dtype)
        losses = x.exp() - target * x if self.log_input else x - target * (x + self.eps).log_()
        if self.full:
            stirling = target * target.log() - target + 0.5 * (target * (2 * math.pi)).log_()
            losses = losses + stirling.masked_fill_(target <= 1, 0)
        return self.reduce(losses), (x, target)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, target = saved
        dy = self.share(dy, x.numel())
        dx = (x.exp() - target if self.log_input else 1 - target / (x + self.eps)) * dy
        if "target" not in needs:
            return (dx, None), {}
        slope = -x if self.log_input else (x + self.eps).log_().neg_()
        if self.full:
            slope = slope + (target.log() + 0.5 / target).masked_fill_(target <= 1, 0)
        return (dx, slope * dy), {}


@register(kw_only=True)
class GaussianNLLLoss(Loss):
    """Negative log-likelihood of a normal distribution: (log v + (x - target)² / v) / 2, with v = max(variance, eps).

    x (n, ...), target (n, ...), variance of the same shape, or with 1 for one axis, or without the last axis, where
    several elements share a variance -> (), or (n, ...) without reduction. The mean is over all elements.
    dx = (x - target) / v dy, dtarget = -dx, dvariance = (1 / v - (x - target)² / v²) dy / 2, below eps too.

    full  whether to add log(2 pi) / 2
    eps   the least variance. Negative variances count as eps; torch raises an error for them

    Name the slots of the edges into it: Feed("loss", slot="variance"). Kept for backward: x - target and 1 / v.
    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994.
    """

    full: bool = setting(flag(), default=False)
    eps: float = setting(above(0), default=1e-6)

    slots: ClassVar = (PREDICTION, TARGET, "variance")
    judged: ClassVar = "nothing"

    def forward(
        self, p: Values, x: Tensor, target: Tensor, variance: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor, torch.Size]]:
        check_equal(x, target)
        v = variance.unsqueeze(-1) if variance.shape == x.shape[:-1] and x.dim() else variance
        shared_axis(x, v)
        v = v.clamp_min(self.eps)
        difference, inverse = x - target, v.reciprocal()
        losses = (difference.square().mul_(inverse) + v.log()) * 0.5
        losses = losses + 0.5 * math.log(2 * math.pi) if self.full else losses
        return self.reduce(losses), (difference, inverse, variance.shape)

    def backward(
        self, p: Values, saved: tuple[Tensor, Tensor, torch.Size], dy: Tensor, needs: Needs = EVERYTHING
    ) -> Gradients:
        difference, inverse, shape = saved
        dy = self.share(dy, difference.numel())
        z = difference * inverse
        dx, dvariance = z * dy, None
        if "variance" in needs:
            dvariance = (inverse - z.square()) * (dy * 0.5)
            axis = shared_axis(difference, inverse)
            dvariance = (dvariance if axis is None else dvariance.sum(axis, keepdim=True)).view(shape)
        return (dx, -dx if "target" in needs else None, dvariance), {}

    def expects(self, *inputs: Tensor) -> str:
        return "a prediction and a target of the same shape, and variances of that shape, or with 1 for one of its axes"


def shared_axis(x: Tensor, variance: Tensor) -> int | None:
    """The axis along which elements share a variance, or None. Raises ShapeError for variances of another shape."""
    unlike = [k for k, (n, m) in enumerate(zip(x.shape, variance.shape, strict=False)) if n != m]
    if x.dim() != variance.dim() or len(unlike) > 1 or any(variance.shape[k] != 1 for k in unlike):
        raise ShapeError("the variance has neither the prediction's shape nor 1 in place of one axis")
    return unlike[0] if unlike else None


def rows(x: Tensor) -> int:
    """The length of the first axis."""
    return x.shape[0] if x.dim() else 1
