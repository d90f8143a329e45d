"""Positions in a sequence.

They are added to the features, or rotate them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.operators.operator import Buffer, Gradients, Operator, Values
from graphdl.registry import register
from graphdl.settings import number, optional, setting, size

__all__ = ["RotaryPositions", "SinusoidalPositions"]


@dataclass(frozen=True)
class Positions(Operator):
    """Angles of positions: angle[t, k] = t / base^(2 k / i), for k from 0 to i / 2 - 1.

    x (n, ..., t, i) -> y of the same shape; i = embed_dim is even. The sines and cosines of max_length positions are a
    buffer, table (max_length, i).

    embed_dim may be left out: it is inferred from the first input.
    Errors: ShapeError for sequences longer than max_length.
    """

    embed_dim: int | None = setting(optional(size(2)), default=None)
    max_length: int = setting(size(), default=1024)
    base: float = setting(number(1), default=10_000.0)

    slots: ClassVar = ("input",)
    family: ClassVar = "attention"
    keeps_shape: ClassVar = True
    inferred: ClassVar = ("embed_dim",)

    def check_settings(self) -> None:
        if self.embed_dim is not None and self.embed_dim % 2:
            raise SettingError(f"{type(self).__name__}: embed_dim must be even, not {self.embed_dim}")

    def buffers(self) -> dict[str, Buffer]:
        """The sines of all angles and their cosines, alternately, in each row."""
        return {"table": Buffer((self.max_length, int(self.embed_dim or 0)), Sinusoids(self.base))}

    def infer(self, *shapes: torch.Size) -> Self:
        if len(shapes[0]) < 2:
            raise ShapeError("the input has no axis of positions before its features")
        return replace(self, embed_dim=shapes[0][-1]) if self.embed_dim is None else self

    def rows(self, p: Values, x: Tensor) -> Tensor:
        """The table's rows of the positions of x."""
        if x.dim() < 2 or x.shape[-1] != self.embed_dim:
            raise ShapeError("the input does not have the axes and the features of the positions")
        if x.shape[-2] > self.max_length:
            raise ShapeError(f"the sequence has {x.shape[-2]} positions, more than max_length={self.max_length}")
        return p["table"][: x.shape[-2]]

    @abstractmethod
    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor | None]: ...

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, ..., t, {self.embed_dim or 'i'}) with at most {self.max_length} positions t"


@register
class SinusoidalPositions(Positions):
    """Sines and cosines of the position, added to the features: y = x + table; dx = dy.

    table[t, 2 k] = sin angle[t, k], table[t, 2 k + 1] = cos angle[t, k]; angles and settings as in Positions. Nothing
    is kept for backward.
    Source: Vaswani et al., "Attention is all you need", 2017.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x + self.rows(p, x), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy,), {}


@register
class RotaryPositions(Positions):
    """Rotation of pairs of features by the angle of the position, so that products of two depend on their distance.

    y[2 k] = x[2 k] cos a - x[2 k + 1] sin a, y[2 k + 1] = x[2 k] sin a + x[2 k + 1] cos a with a = angle[t, k]; dx is
    dy rotated back. Angles and settings as in Positions. Apply it to the queries and the keys of each head of an
    attention; embed_dim is the number of features of one head. Kept for backward: a view of the table.
    Source: Su et al., "RoFormer", 2021.
    """

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        rows = self.rows(p, x)
        return rotated(x, rows, 1.0), rows

    def backward(self, p: Values, rows: Tensor, dy: Tensor) -> Gradients:
        return (rotated(dy, rows, -1.0),), {}


def rotated(x: Tensor, rows: Tensor, direction: float) -> Tensor:
    """Pairs of features, rotated by the angles or back."""
    sin, cos = rows[..., 0::2] * direction, rows[..., 1::2]
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.stack([first * cos - second * sin, first * sin + second * cos], -1).flatten(-2)


@dataclass(frozen=True)
class Sinusoids:
    """Sines and cosines of the angles of positions, alternately."""

    base: float

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        length, features = parameter.shape
        steps = torch.arange(0, features, 2, dtype=torch.float64, device=parameter.device)
        places = torch.arange(length, dtype=torch.float64, device=parameter.device)
        angles = places[:, None] * torch.exp(steps * (-math.log(self.base) / max(features, 1)))
        return parameter.copy_(torch.stack([angles.sin(), angles.cos()], -1).flatten(1))
