"""Settings that are sizes: whole numbers, and pairs of them for the two axes of an image."""

from __future__ import annotations

from typing import TypeAlias

from graphdl.errors import SettingError

Pair: TypeAlias = int | tuple[int, int]
"""One number for both axes of an image, or (h, w)."""


def is_size(value: object, least: int) -> bool:
    """Whether a value is a whole number, `least` or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_size(owner: str, name: str, value: object, least: int = 1) -> None:
    """Refuse a setting that is no whole number of at least `least`."""
    if not is_size(value, least):
        raise SettingError(f"{owner}: {name} is a whole number, {least} or more, not {value!r}")


def check_pair(owner: str, name: str, value: object, least: int = 1, others: str = "") -> None:
    """Refuse a setting that is neither such a number nor a tuple of two."""
    sizes = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    if not all(is_size(size, least) for size in sizes):
        raise SettingError(
            f"{owner}: {name} is {others}a whole number, {least} or more, or a tuple of two for h and w, not {value!r}"
        )


def pair(value: Pair) -> tuple[int, int]:
    """(h, w) of a setting that has been checked."""
    return value if isinstance(value, tuple) else (value, value)


def times(value: Pair) -> str:
    """A pair as text.

    >>> times(3), times((1, 5))
    ('3×3', '1×5')
    """
    return "×".join(map(str, pair(value)))


def differing(**values: tuple[Pair | str, Pair | str]) -> list[str]:
    """The settings that differ from their defaults, as text: name=(value, default).

    >>> differing(stride=(2, 1), padding=((0, 1), 0), dilation=(1, 1))
    ['stride 2', 'padding 0×1']
    """
    return [
        f"{name} {times(value) if isinstance(value, tuple) else value}"
        for name, (value, default) in values.items()
        if value != default
    ]
