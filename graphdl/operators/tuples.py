"""Values that may be tuples: their shapes and gradients.

Most of the elements of a tuple of gradients may be unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import Tensor

from graphdl.errors import ShapeError

Shape: TypeAlias = tuple[Any, ...]
Elements: TypeAlias = Sequence[Tensor | None]


class TupleGradient:
    """The gradient of a tuple of `count` outputs: {index: tensor} for the outputs that were used.

    Each of k consumers adds its element in constant time; with tuples of k elements it would take k² operations in all.
    It is converted to a tuple, with None for the other elements, for the backward of the operator with these outputs.
    """

    __slots__ = ("_sums", "count", "elements")

    def __init__(self, count: int, elements: dict[int, Tensor]) -> None:
        self.count, self.elements = count, elements
        self._sums: set[int] = set()  # the indexes of sums made here, which may be added to in place

    @classmethod
    def of(cls, gradient: Elements | TupleGradient) -> TupleGradient:
        """The same elements, in a new object."""
        if isinstance(gradient, TupleGradient):
            return cls(gradient.count, dict(gradient.elements))
        return cls(len(gradient), {k: element for k, element in enumerate(gradient) if element is not None})

    def add(self, gradient: Elements | TupleGradient) -> None:
        """Add another consumer's gradient. Raises ShapeError if the two do not fit."""
        other = gradient if isinstance(gradient, TupleGradient) else TupleGradient.of(gradient)
        if other.count != self.count:
            raise ShapeError(f"it sent a gradient of {other.count} elements, and another node one of {self.count}")
        for k, element in other.elements.items():
            held = self.elements.get(k)
            if held is None:
                self.elements[k] = element
            elif held.shape != element.shape:
                raise ShapeError(
                    f"it sent a gradient of the shape {tuple(element.shape)} for element {k}, and another node one "
                    f"of {tuple(held.shape)}"
                )
            elif k in self._sums:
                held.add_(element)
            else:
                self.elements[k] = held + element
                self._sums.add(k)

    def scaled(self, factor: float) -> TupleGradient:
        """Each element times a factor, in a new object."""
        return TupleGradient(self.count, {k: element * factor for k, element in self.elements.items()})

    def as_tuple(self) -> tuple[Tensor | None, ...]:
        """One gradient for each output; None for the outputs that nothing used."""
        found: list[Tensor | None] = [None] * self.count
        for k, element in self.elements.items():
            found[k] = element
        return tuple(found)


def shape_of(value: Any) -> Shape:
    """The shape of a value, or of each element of a tuple of outputs."""
    if isinstance(value, tuple):
        return tuple(shape_of(element) for element in value)
    if isinstance(value, TupleGradient):
        return shape_of(value.as_tuple())
    return tuple(value.shape) if isinstance(value, Tensor) else (f"a {type(value).__name__}",)


def fits(gradient: Any, shape: Shape) -> bool:
    """Whether a gradient is shaped like its value; None is, even as an element of a tuple."""
    if gradient is None:
        return True
    if isinstance(gradient, TupleGradient):
        known = gradient.elements.items()
        return len(shape) == gradient.count and all(fits(element, shape[k]) for k, element in known)
    if isinstance(gradient, tuple):
        return len(shape) == len(gradient) and all(map(fits, gradient, shape))
    return shape_of(gradient) == shape
