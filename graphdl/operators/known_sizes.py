"""What is known of the shape of a value from the settings of operators, before there are any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from graphdl.errors import ShapeError


class KnownSizes:
    """The lengths of some axes of a value. The axes count from the end, -1 the last: there may be others before them.

    held     axis -> its length
    origins  axis -> the node whose operator says so
    """

    __slots__ = ("held", "origins")

    def __init__(self, held: Mapping[int, int] | None = None) -> None:
        self.held = dict(held or {})
        self.origins: dict[int, object] = {}

    def expect(self, axis: int, length: int | None) -> None:
        """Keep the length of an axis; None says nothing. Raises MisfitError if another one is known."""
        if length is not None and self.held.setdefault(axis, length) != length:
            raise MisfitError(self, axis, length)

    def only(self, axis: int) -> KnownSizes:
        """The same for a value of which only one axis is alike."""
        found = KnownSizes()
        if axis in self.held:
            found.held[axis] = self.held[axis]
            found.origins = dict(self.origins)
        return found

    def replaced(self, axis: int, length: int | None) -> KnownSizes:
        """The same for a value that differs along one axis."""
        found = KnownSizes(self.held)
        found.origins = dict(self.origins)
        found.held.pop(axis, None)
        found.origins.pop(axis, None)
        if length is not None:
            found.held[axis] = length
        return found


Known: TypeAlias = KnownSizes | tuple[KnownSizes, ...]
"""What is known of a value, or of each element of a tuple of outputs."""


class MisfitError(ShapeError):
    """An axis of an input has a length that its reader cannot take.

    known, axis  what is known of the input, and the axis
    expected     the length that the reader takes
    other        the input that has it, if the length follows from another input
    """

    def __init__(self, known: KnownSizes, axis: int, expected: int, other: KnownSizes | None = None) -> None:
        super().__init__(f"axis {axis} has the length {known.held[axis]} in place of {expected}")
        self.known, self.axis, self.expected, self.other = known, axis, expected, other


def equal(one: KnownSizes, other: KnownSizes) -> None:
    """Two values have the same shape. Raises MisfitError if they cannot."""
    for axis, length in one.held.items():
        if other.held.setdefault(axis, length) != length:
            raise MisfitError(other, axis, length, one)
    for axis, length in other.held.items():
        one.held.setdefault(axis, length)


def broadcast(inputs: Sequence[KnownSizes]) -> KnownSizes:
    """Values that are aligned at the last axis, where a length of 1 is stretched: what is known of the result."""
    found = KnownSizes()
    holders: dict[int, KnownSizes] = {}
    for known in inputs:
        for axis, length in known.held.items():
            if length == 1:
                continue
            if found.held.setdefault(axis, length) != length:
                raise MisfitError(known, axis, found.held[axis], holders[axis])
            holders.setdefault(axis, known)
            found.origins.setdefault(axis, known.origins[axis])
    return found
