"""Settings that name axes, or hold numbers for each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphdl.settings import Check, array_of, either, integer

Axes: TypeAlias = int | tuple[int, ...]
"""One number, or a tuple of several: axes, or what belongs to each of them."""


def integers(expected: str, least: float = -math.inf) -> Check:
    """A tuple of whole numbers of at least `least`, and at least one of them; `expected` says what they are."""
    one = integer()

    def holds(value: object) -> bool:
        return isinstance(value, tuple) and value != () and all(one.holds(n) and n >= least for n in value)

    schema = one.schema if least == -math.inf else {**one.schema, "minimum": least}
    return Check(expected, holds, schema=array_of(schema))


def one_or_several(what: str) -> Check:
    """A whole number or a tuple of them."""
    return either(integer(), integers(f"a tuple of {what}"))


def as_tuple(value: Axes) -> tuple[int, ...]:
    """One number or several as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def named(value: Axes) -> str:
    """Axes as text.

    >>> named((0, -1))
    'an axis 0 and an axis -1'
    """
    return " and ".join(f"an axis {axis}" for axis in as_tuple(value))


def by_sizes(shape: Sequence[int]) -> str:
    """Sizes as text, with "?" for -1.

    >>> by_sizes((3, -1))
    '3×?'
    """
    return "×".join("?" if size == -1 else str(size) for size in shape)


def least_rank(dim: int) -> int:
    """The number of axes of x that lets a new axis become axis `dim`."""
    return dim if dim >= 0 else -1 - dim
