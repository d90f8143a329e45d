"""Sizes along the two axes of an image."""

from __future__ import annotations

from graphdl.settings import Pair


def pair(value: Pair) -> tuple[int, int]:
    """(h, w) of a setting."""
    return value if isinstance(value, tuple) else (value, value)


def times(value: Pair) -> str:
    """A pair as text.

    >>> times(3), times((1, 5))
    ('3×3', '1×5')
    """
    return "×".join(map(str, pair(value)))
