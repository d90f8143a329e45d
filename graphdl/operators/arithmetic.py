"""Arithmetic with two operands.

The operands are broadcast, as in torch: different shapes are aligned at the last axis, axes of length 1 are repeated,
and missing leading axes are added, as for (n, t, c) with (c,) or with (n, 1, c). The gradient of each operand is summed
to its shape. Sum, Mean, Product and Subtract, by contrast, only take inputs with the same number of axes.

The second operand is an input or a number: Add() has two inputs, and Add(2.0) has one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import KnownSizes, broadcast
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values, constant
from graphdl.operators.shared.broadcasting import as_operand, sum_each
from graphdl.operators.shared.masks import compared, passed
from graphdl.registry import register
from graphdl.settings import number, optional, setting
from graphdl.slots import InputSlot

__all__ = ["Add", "Divide", "Maximum", "Minimum", "Multiply", "Power", "Where"]

BROADCAST = "inputs whose axes, aligned at the last one, have the same length or length 1"


class SlotsBySetting:
    """Slots of which the last has a setting of the same name: an operator in which that is given lacks the slot."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __get__(self, operator: Operator | None, cls: type) -> tuple[str, ...]:
        given = operator is not None and getattr(operator, self.names[-1]) is not None
        return self.names[:-1] if given else self.names


@dataclass(frozen=True)
class Binary(Operator):
    """input, other -> y, broadcast.

    other  a number as the second operand, in place of the second input
    """

    other: float | None = setting(optional(number()), default=None)

    slots: ClassVar = SlotsBySetting("input", "other")
    family: ClassVar = "arithmetic"

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        return broadcast(inputs)

    def expects(self, *inputs: Tensor) -> str:
        return BROADCAST if self.other is None else ""


def operands(xs: Sequence[Tensor], given: float | None) -> tuple[Tensor, Tensor]:
    """The two operands: the inputs, or the only input and the number given."""
    return (xs[0], as_operand(given, xs[0])) if given is not None else (xs[0], xs[1])


def shapes_of(xs: Sequence[Tensor]) -> list[torch.Size]:
    """The shapes of the inputs."""
    return [x.shape for x in xs]


@register
class Add(Binary):
    """Sum of two operands, broadcast: y = input + other; dinput = dother = dy, each summed to its operand's shape.

    other is a second input or a number: Add(2.0) takes one input. Sum takes any number of inputs. Kept for backward:
    the shapes.
    """

    def forward(
        self, p: Values, *xs: Tensor, training: bool, out: Tensor | None = None
    ) -> tuple[Tensor, list[torch.Size]]:
        a, b = operands(xs, self.other)
        y = torch.add(a, b, out=out if _fits(out, xs) else None)
        return y, shapes_of(xs)

    def backward(self, p: Values, shapes: list[torch.Size], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        return sum_each(shapes, dy if "input" in needs else None, dy if "other" in needs else None), {}


@register
class Multiply(Binary):
    """Product of two operands, broadcast: y = input other; dinput = dy other, dother = dy input.

    Each gradient is summed to its operand's shape. other is a second input or a number: Multiply(2.0) takes one input.
    Kept for backward: both inputs; nothing if other is a number.
    """

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, tuple[Any, ...]]:
        a, b = operands(xs, self.other)
        return a * b, (a if self.other is None else None, b, shapes_of(xs))

    def backward(self, p: Values, saved: tuple[Any, ...], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        a, b, shapes = saved
        da = dy * b if "input" in needs else None
        db = dy * a if a is not None and "other" in needs else None
        return sum_each(shapes, da, db), {}


@register
class Divide(Binary):
    """Quotient of two operands, broadcast: y = input / other; dinput = dy / other, dother = -dy y / other.

    Each gradient is summed to its operand's shape. other is a second input or a number: Divide(2.0) takes one input.
    Division by 0 gives an infinite value, or nan for 0 / 0, as in torch. 1 / x is Power(-1).
    Kept for backward: other and y; nothing if other is a number.
    """

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, tuple[Any, ...]]:
        a, b = operands(xs, self.other)
        y = a / b
        return y, (b, y if self.other is None else None, shapes_of(xs))

    def backward(self, p: Values, saved: tuple[Any, ...], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        b, y, shapes = saved
        da = dy / b
        db = (da * y).neg_() if y is not None and "other" in needs else None
        return sum_each(shapes, da, db), {}


@register
class Power(Operator):
    """Power of one operand by another, broadcast: y = inputᵉ with the exponent e.

    dinput = dy e inputᵉ⁻¹, and 0 where e is 0; dexponent = dy y log(input), and 0 where the input is 0 and e is at
    least 0; each is summed to its operand's shape. exponent is a second input or a number: Power(2.0) takes one input.
    The power of a negative number is nan unless e is whole. Kept for backward: input and e, and y if e is an input.
    """

    exponent: float | None = setting(optional(number()), default=None)

    slots: ClassVar = SlotsBySetting("input", "exponent")
    family: ClassVar = "arithmetic"

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, tuple[Any, ...]]:
        if self.exponent is not None:
            (x,) = xs
            return x.pow(self.exponent), (x, None, None)
        x, e = xs
        y = x.pow(e)
        return y, (x, e, y)

    def backward(self, p: Values, saved: tuple[Any, ...], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, e, y = saved
        if self.exponent is not None:
            return (self.slope(x, dy, self.exponent),), {}
        dx = de = None
        if "input" in needs:
            dx = x.pow(e - 1).mul_(e).masked_fill_(e == 0, 0).mul_(dy)
        if "exponent" in needs:
            de = (y * x.log()).masked_fill_((x == 0) & (e >= 0), 0).mul_(dy)
        return sum_each((x.shape, e.shape), dx, de), {}

    def slope(self, x: Tensor, dy: Tensor, e: float) -> Tensor:
        """Dy e xᵉ⁻¹, without a power where e is 0, 1 or 2."""
        if e == 0:
            return torch.zeros_like(dy)
        if e == 1:
            return dy
        return (dy * x if e == 2 else x.pow(e - 1).mul_(dy)).mul_(constant(e, dy))

    def expects(self, *inputs: Tensor) -> str:
        return BROADCAST if self.exponent is None else ""


class Extremum(Binary):
    """The larger or the smaller operand; of two equal ones, each receives half of dy."""

    @abstractmethod
    def value(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute y."""

    @abstractmethod
    def lost(self, a: Tensor, b: Tensor, dy: Tensor) -> Tensor:
        """1 where b is chosen and not a, else 0."""

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, tuple[Any, ...]]:
        a, b = operands(xs, self.other)
        return self.value(a, b), (a, b, shapes_of(xs))

    def backward(self, p: Values, saved: tuple[Any, ...], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        a, b, shapes = saved
        one = constant(1.0, dy)
        shared = torch.sub(one, compared(torch.eq, a, b, dy), alpha=0.5).mul_(dy)
        da = passed(shared, one - self.lost(a, b, dy)) if "input" in needs else None
        db = passed(shared, one - self.lost(b, a, dy)) if len(shapes) > 1 and "other" in needs else None
        return sum_each(shapes, da, db), {}


@register
class Maximum(Extremum):
    """The larger of two operands, broadcast: y = max(input, other), or nan if one of them is nan.

    dy goes to the larger operand, half of it to each of two equal ones, as in torch.maximum; each gradient is summed
    to its operand's shape. other is a second input or a number: Maximum(0.0) takes one input. Where the input equals
    the number it receives dy / 2; with Clamp(min=0.0) it receives dy. Kept for backward: both operands.
    """

    def value(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)

    def lost(self, a: Tensor, b: Tensor, dy: Tensor) -> Tensor:
        return compared(torch.lt, a, b, dy)


@register
class Minimum(Extremum):
    """The smaller of two operands, broadcast: y = min(input, other), or nan if one of them is nan.

    dy goes to the smaller operand, half of it to each of two equal ones, as in torch.minimum; each gradient is summed
    to its operand's shape. other is a second input or a number: Minimum(0.0) takes one input. Where the input equals
    the number it receives dy / 2; with Clamp(max=0.0) it receives dy. Kept for backward: both operands.
    """

    def value(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b)

    def lost(self, a: Tensor, b: Tensor, dy: Tensor) -> Tensor:
        return compared(torch.gt, a, b, dy)


@register
class Where(Operator):
    """Choice by a condition, element by element: y = input where it is True, else other.

    dinput = dy where the condition is True, else 0; dother = dy where it is False, else 0. The three inputs are
    broadcast, and each gradient is summed to its input's shape. The condition holds booleans and has no gradient.
    Kept for backward: the condition.
    Errors: ShapeError for a condition that does not hold booleans.
    """

    slots: ClassVar = (InputSlot("condition", kind="boolean"), "input", "other")
    family: ClassVar = "arithmetic"

    def forward(
        self, p: Values, condition: Tensor, a: Tensor, b: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, list[torch.Size]]]:
        if condition.is_meta:  # where only its shape is known
            condition = condition.bool()
        if condition.dtype is not torch.bool:
            raise ShapeError("the condition does not hold booleans: give condition != 0, or condition.bool()")
        return torch.where(condition, a, b), (condition, shapes_of((a, b)))

    def backward(
        self, p: Values, saved: tuple[Tensor, list[torch.Size]], dy: Tensor, needs: Needs = EVERYTHING
    ) -> Gradients:
        condition, shapes = saved
        chosen = condition.to(dy.dtype).expand(dy.shape)
        da = passed(dy, chosen) if "input" in needs else None
        db = passed(dy, constant(1.0, dy) - chosen) if "other" in needs else None
        return (None, *sum_each(shapes, da, db)), {}

    def expects(self, *inputs: Tensor) -> str:
        return BROADCAST


def _fits(out: Tensor | None, xs: Sequence[Tensor]) -> bool:
    """Whether y has the shape and the type of `out`, which is one of the inputs."""
    return (
        out is not None and all(x.shape == out.shape and x.dtype == out.dtype for x in xs) and out.is_floating_point()
    )
