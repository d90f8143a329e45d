"""Selection and splitting.

Axes are counted as in torch: from 0, the axis of the batch, or from the end if negative. The parts that Split, Chunk,
Slice and Select return are views of x.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values, constant
from graphdl.operators.shared.axes import Axes, integers
from graphdl.operators.shared.indices import as_indices, range_of
from graphdl.registry import register
from graphdl.settings import either, integer, optional, setting, size
from graphdl.slots import InputSlot

__all__ = ["Chunk", "Gather", "IndexSelect", "Select", "Slice", "Split"]

Shapes: TypeAlias = list[torch.Size]

aten = torch.ops.aten


class Selection(Operator):
    """Parts of one input."""

    slots: ClassVar[tuple[str, ...] | None] = ("input",)
    family: ClassVar[str] = "structure"


class Pieces(Selection):
    """A tuple of pieces along the axis `dim`, of which Item selects; kept for backward are their shapes."""

    dim: int

    def backward(self, p: Values, shapes: Shapes, dy: Sequence[Tensor | None]) -> Gradients:
        used = [piece for piece in dy if piece is not None]
        if len(used) < len(dy):
            zero = constant(0.0, used[0])
            dy = [zero.expand(shape) if piece is None else piece for piece, shape in zip(dy, shapes, strict=True)]
        return (torch.cat(dy, self.dim),), {}  # type: ignore[arg-type]


@register
class Split(Pieces):
    """One axis split into pieces of given lengths, a tuple of outputs: torch.split. Item(k) selects one.

    split_size_or_sections  the length of each piece, of which the last may be shorter; or a tuple of the lengths, which
                            must add up to that of the axis
    dim                     1 by default; torch.split has 0, the axis of the batch

    dx joins the gradients of the pieces, 0 for a piece that nothing uses. Kept for backward: the shapes of the pieces.
    """

    split_size_or_sections: Axes = setting(either(size(), integers("a tuple of lengths", 0)))
    dim: int = setting(integer(), default=1)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[tuple[Tensor, ...], Shapes]:
        lengths: Any = self.split_size_or_sections  # torch takes a tuple too
        pieces = tuple(torch.split(x, lengths, self.dim))
        return pieces, [piece.shape for piece in pieces]

    def expects(self, *inputs: Tensor) -> str:
        lengths = self.split_size_or_sections
        return f"an axis {self.dim}{f' of length {sum(lengths)}' if isinstance(lengths, tuple) else ''}"


@register
class Chunk(Pieces):
    """One axis split into `chunks` pieces of the same length, a tuple of outputs: torch.chunk. Item(k) selects one.

    If `chunks` does not divide the length, the last piece is shorter, and there may be fewer pieces, as in torch. dim
    is 1 by default; torch.chunk has 0, the axis of the batch. dx joins the gradients of the pieces, 0 for a piece that
    nothing uses. Kept for backward: the shapes of the pieces.
    """

    chunks: int = setting(size())
    dim: int = setting(integer(), default=1)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[tuple[Tensor, ...], Shapes]:
        pieces = tuple(x.chunk(self.chunks, self.dim))
        return pieces, [piece.shape for piece in pieces]

    def expects(self, *inputs: Tensor) -> str:
        return f"an axis {self.dim}"


@register
class Slice(Selection):
    """The elements start, start + step, ... before stop along one axis: x[:, start:stop:step] with dim 1, the default.

    As in Python, None is an end of the axis, a negative number counts from its end, and a stop beyond the end is the
    end. step is at least 1; Flip reverses an axis. dx is dy at these places, and 0 at others. Kept for backward: the
    shape of x.
    """

    start: int | None = setting(optional(integer()), default=None)
    stop: int | None = setting(optional(integer()), default=None)
    step: int = setting(size(), default=1)
    dim: int = setting(integer(), default=1)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return aten.slice(x, self.dim, self.start, self.stop, self.step), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        start = 0 if self.start is None else self.start
        stop = sys.maxsize if self.stop is None else self.stop
        return (aten.slice_backward(dy, shape, self.dim, start, stop, self.step),), {}

    def describe(self) -> str:
        ends = ":".join("" if end is None else str(end) for end in (self.start, self.stop))
        return f"[{ends}{f':{self.step}' if self.step > 1 else ''}]{f', dim {self.dim}' if self.dim != 1 else ''}"

    def expects(self, *inputs: Tensor) -> str:
        return f"an axis {self.dim}"


@register
class Select(Selection):
    """The part at `index` along one axis, which y does not have: torch.select, x[:, index] with dim 1, the default.

    A negative index counts from the end. y is a view of x. dx is dy at this place, and 0 at others. Kept for backward:
    the shape of x.
    """

    index: int = setting(integer())
    dim: int = setting(integer(), default=1)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        if -x.dim() <= self.dim < x.dim() and not -x.shape[self.dim] <= self.index < x.shape[self.dim]:
            raise ShapeError(f"index {self.index} is out of range: axis {self.dim} has the length {x.shape[self.dim]}")
        return x.select(self.dim, self.index), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        return (aten.select_backward(dy, shape, self.dim, self.index),), {}

    def expects(self, *inputs: Tensor) -> str:
        least = self.index + 1 if self.index >= 0 else -self.index
        return f"an axis {self.dim} of length {least} at least"


@register
class Gather(Selection):
    """The element at each index along one axis: torch.gather.

    x (n, c), index (n, k) -> y (n, k) with dim 1, the default: y[a, b] = x[a, index[a, b]]. index has as many axes as
    x, and along the other axes at most the length of x; along that of the batch, the same length. dx is the sum of dy
    over the places where an element was looked up. Kept for backward: the index and the shape of x.

    Errors: ShapeError for indices that are floats; an error with the valid range for an index out of range.
    """

    dim: int = setting(integer(), default=1)

    slots: ClassVar = ("input", InputSlot("index", kind="integer"))

    def forward(
        self, p: Values, x: Tensor, index: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
        if x.dim() and index.dim() and len(x) != len(index) and self.dim % x.dim() != 0:
            raise ShapeError("input and index have different numbers of rows")
        index = as_indices(index).long()
        return x.gather(self.dim, index), (index, x.shape)

    def backward(self, p: Values, saved: tuple[Tensor, torch.Size], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        index, shape = saved
        return (dy.new_zeros(shape).scatter_add_(self.dim, index, dy) if "input" in needs else None, None), {}

    def expects(self, *inputs: Tensor) -> str:
        return expected_indices(
            self.dim, *inputs, also="an index of as many axes, longer than the input along no other axis"
        )


@register
class IndexSelect(Selection):
    """The parts at given indices along one axis: torch.index_select, for an index with any number of axes.

    x (v, o), index (n, ...) -> y (n, ..., o) with dim 0: the rows of a table, such as a Weight, which makes it an
    embedding whose table another operator can read too. x (n, t, c), index (k,) -> y (n, k, c) with dim 1: the index,
    such as a Constant, has no batch axis. The axes of the index replace the axis `dim` of x. dx is the sum of dy over
    the places where an element was looked up. Kept for backward: the index and the shape of x.

    Errors: ShapeError for indices that are floats; an error with the valid range for an index out of range.
    """

    dim: int = setting(integer())

    slots: ClassVar = ("input", InputSlot("index", kind="integer"))

    def forward(
        self, p: Values, x: Tensor, index: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
        if not x.dim():
            raise ShapeError("the input is one number, without axes")
        index = as_indices(index)
        y = x.index_select(self.dim, index.reshape(-1))
        dim = self.dim % x.dim()
        return y.view(*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]), (index, x.shape)

    def backward(self, p: Values, saved: tuple[Tensor, torch.Size], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        index, shape = saved
        if "input" not in needs:
            return (None, None), {}
        dim = self.dim % len(shape)
        if dy.is_cuda and dim == 0 and len(shape) == 2:  # where index_add_ sums in no fixed order
            return (aten.embedding_dense_backward(dy, index, shape[0], -1, False), None), {}
        dy = dy.reshape(*shape[:dim], index.numel(), *shape[dim + 1 :])
        return (dy.new_zeros(shape).index_add_(dim, index.reshape(-1), dy), None), {}

    def expects(self, *inputs: Tensor) -> str:
        return expected_indices(self.dim, *inputs)


def expected_indices(dim: int, x: Any = None, index: Any = None, *, also: str = "") -> str:
    """What an operator with an index expects, with the valid range and that of the indices given."""
    known = isinstance(x, Tensor) and -x.dim() <= dim < x.dim()
    expected = f"an axis {dim} of the input{f', {also},' if also else ''} and indices of it"
    return f"{expected}, from 0 to {x.shape[dim] - 1}{range_of(index)}" if known else expected
