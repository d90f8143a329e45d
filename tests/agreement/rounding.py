"""Other roundings of the reference: what a network does with them is no fault of a way of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphdl import (
    AdaptiveAvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    BCEWithLogitsLoss,
    Conv2d,
    CrossEntropyLoss,
    LayerNorm,
    Linear,
    LogSoftmax,
    Operator,
    Softmax,
)

EPSILON = {torch.float32: 6e-8, torch.float64: 1.2e-16}

SUMS = (Linear, Conv2d, BatchNorm1d, BatchNorm2d, LayerNorm, Softmax, LogSoftmax, AdaptiveAvgPool2d)
"""Operators whose results are rounded relative to the largest number that they add."""

DIFFERENCES = (BCEWithLogitsLoss, CrossEntropyLoss)
"""Losses whose gradient is a difference of probabilities: rounded relative to 1, even where it vanishes."""


def rounded(op: Operator, xs: Sequence[Tensor], y: Tensor, generator: torch.Generator) -> Tensor:
    """The output of an operator, with other roundings of its value and of its gradient."""
    if not y.is_floating_point():
        return y
    size = epsilon(y)
    if isinstance(op, DIFFERENCES):
        y = y + no_value(op, xs[0], generator, size)
    return Rounding.apply(y, jitter(generator, size, isinstance(op, SUMS)))


def rounded_output(y: Any, generator: torch.Generator) -> Any:
    """An output, or a tuple of them, rounded relative to the largest number, as is its gradient."""
    if isinstance(y, tuple):
        return tuple(rounded_output(each, generator) for each in y)
    if not y.is_floating_point():
        return y
    return Rounding.apply(y, jitter(generator, epsilon(y), True))


def rounded_inputs(xs: Sequence[Any], generator: torch.Generator) -> list[Any]:
    """The inputs as they are, each with another rounding of its gradient, relative to the largest number."""
    return [RoundedGradient.apply(x, jitter(generator, epsilon(x), True)) if x.is_floating_point() else x for x in xs]


def epsilon(x: Tensor) -> float:
    """A unit of rounding."""
    return EPSILON.get(x.dtype) or torch.finfo(x.dtype).eps / 2


def no_value(op: Operator, x: Tensor, generator: torch.Generator, size: float) -> Tensor:
    """Zero, whose gradient is random: a unit of rounding in each row of the loss."""
    z = x * (torch.randn(x.shape, generator=generator, dtype=x.dtype) * size)
    if isinstance(op, CrossEntropyLoss):
        z = z.sum(min(1, x.dim() - 1))
    z = z if op.reduction == "none" else z.mean() if op.reduction == "mean" else z.sum()
    return z - z.detach()


class RoundedGradient(torch.autograd.Function):
    """The value itself, and another rounding of its gradient."""

    @staticmethod
    def forward(ctx, x, move):
        ctx.move = move
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.move(dy), None


class Rounding(torch.autograd.Function):
    """Another rounding of a value and of its gradient: each is moved by normal numbers times a unit of rounding."""

    @staticmethod
    def forward(ctx, x, move):
        ctx.move = move
        return move(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.move(dy), None


def jitter(generator: torch.Generator, size: float, whole: bool) -> Callable[[Tensor], Tensor]:
    """Moves numbers, each relative to itself, or to the largest one where sums are computed."""

    def move(x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype) * size
        return x + noise * (x.abs().max() if whole and x.numel() else x)

    return move
