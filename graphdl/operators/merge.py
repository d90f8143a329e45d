"""Joining branches.

The inputs of Sum, Mean, Product and Subtract have the same number of axes, and along each axis the same length or 1; an
axis of length 1 is broadcast, and its gradient is the sum along it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import KnownSizes, broadcast
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values
from graphdl.operators.shared.broadcasting import sum_to
from graphdl.registry import register
from graphdl.settings import integer, setting

__all__ = ["Concat", "Mean", "Product", "Subtract", "Sum"]


class Merge(Operator):
    """x_k (n, ...) -> y (n, ...), any number of inputs."""

    slots: ClassVar[tuple[str, ...] | None] = None
    family: ClassVar = "merge"

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        return broadcast(inputs)


@register
class Sum(Merge):
    """Sum of any number of inputs: y = x_1 + ... + x_k; dx_k = dy. Kept for backward: the shapes."""

    def forward(
        self, p: Values, *xs: Tensor, training: bool, out: Tensor | None = None
    ) -> tuple[Tensor, list[torch.Size]]:
        return add_all(xs, out), [x.shape for x in xs]

    def backward(self, p: Values, shapes: list[torch.Size], dy: Tensor) -> Gradients:
        return [sum_to(dy, shape) for shape in shapes], {}


@register
class Mean(Merge):
    """Mean of any number of inputs: y = (x_1 + ... + x_k) / k; dx_k = dy / k. Kept for backward: the shapes."""

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, list[torch.Size]]:
        return add_all(xs) / len(xs), [x.shape for x in xs]

    def backward(self, p: Values, shapes: list[torch.Size], dy: Tensor) -> Gradients:
        share = dy / len(shapes)
        return [sum_to(share, shape) for shape in shapes], {}


@register
class Product(Merge):
    """Product of any number of inputs: y = x_1 ... x_k; dx_k = dy times the product of the other inputs.

    The gradient is also correct where inputs are 0. Kept for backward: the inputs.
    """

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        check_ranks(xs)
        y = xs[0]
        for x in xs[1:]:
            y = y * x
        return y, xs

    def backward(self, p: Values, xs: tuple[Tensor, ...], dy: Tensor) -> Gradients:
        before = [dy]
        for x in xs[:-1]:
            before.append(before[-1] * x)
        dxs: list[Tensor] = []
        after: Tensor | None = None
        for x, product in zip(reversed(xs), reversed(before), strict=True):
            dxs.append(sum_to(product if after is None else product * after, x.shape))
            after = x if after is None else after * x
        return dxs[::-1], {}


@register
class Subtract(Operator):
    """Difference of two inputs: y = minuend - subtrahend; dminuend = dy, dsubtrahend = -dy.

    Kept for backward: the shapes.
    """

    slots: ClassVar = ("minuend", "subtrahend")
    family: ClassVar = "merge"

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        return broadcast(inputs)

    def forward(self, p: Values, a: Tensor, b: Tensor, *, training: bool) -> tuple[Tensor, list[torch.Size]]:
        check_ranks((a, b))
        return a - b, [a.shape, b.shape]

    def backward(self, p: Values, shapes: list[torch.Size], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        return (sum_to(dy, shapes[0]), sum_to(-dy, shapes[1]) if "subtrahend" in needs else None), {}


@register
class Concat(Merge):
    """Concatenation of the inputs along one axis: torch.cat; dx_k is the part of dy that came from x_k.

    x_k (n, c_k, ...) -> y (n, sum c_k, ...) with axis 1, the default; torch.cat has 0, the axis of the batch. Kept for
    backward: the lengths c_k.
    """

    axis: int = setting(integer(), default=1)

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        widths = [known.held.get(-1) for known in inputs]
        return KnownSizes() if self.axis != -1 or None in widths else KnownSizes({-1: sum(filter(None, widths))})

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, list[int]]:
        return torch.cat(xs, self.axis), [x.shape[self.axis] for x in xs]

    def backward(self, p: Values, widths: list[int], dy: Tensor) -> Gradients:
        return torch.split(dy, widths, self.axis), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"inputs of the same shape except along axis {self.axis}"


def add_all(xs: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
    """x_1 + ... + x_k. It is written into `out` if that is one of the first two inputs, and added up in place."""
    check_ranks(xs)
    if len(xs) == 1:
        return xs[0].clone()
    first = out is not None and any(x is out for x in xs[:2]) and not any(x is out for x in xs[2:])
    fits = first and all(x.shape == xs[0].shape and x.dtype == xs[0].dtype for x in xs)
    y = torch.add(xs[0], xs[1], out=out if fits else None)
    for x in xs[2:]:
        y = y.add_(x) if x.shape == y.shape and x.dtype == y.dtype else y + x
    return y


def check_ranks(xs: Sequence[Tensor]) -> None:
    """Raise ShapeError for different numbers of axes, which torch would align at the last axis."""
    rank = xs[0].dim()
    for x in xs:
        if x.dim() != rank:
            raise ShapeError("the inputs must have the same number of axes, each of the same length or of length 1")
