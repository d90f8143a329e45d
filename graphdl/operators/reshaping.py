"""Shapes and axes.

Axes are counted as in torch: from 0, the axis of the batch, or from the end if negative. Where torch returns a view, so
do these operators, forward and backward.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.operators.operator import Gradients, Operator, Values
from graphdl.operators.shared.axes import Axes, as_tuple, by_sizes, integers, least_rank, named, one_or_several
from graphdl.registry import register
from graphdl.settings import Check, integer, setting

__all__ = ["Flatten", "Permute", "Reshape", "Squeeze", "Stack", "Transpose", "Unflatten", "Unsqueeze"]


def sizes(what: str) -> Check:
    """A tuple of sizes, one of which may be -1."""
    whole = integers("", -1)
    return Check(
        f"{what}, one of which may be -1",
        lambda value: whole.holds(value) and value.count(-1) <= 1,
        schema=whole.schema,
    )


def check_split(count: int, sizes: tuple[int, ...], what: str) -> int:
    """The product of the known sizes. Raises ShapeError where so many elements do not fit into the sizes."""
    known = math.prod(size for size in sizes if size != -1)
    if count != known if -1 not in sizes else not known or count % known:
        raise ShapeError(f"{what} has {count} elements, which do not fit into {by_sizes(sizes)}")
    return known


class Reshaping(Operator):
    """One input, reshaped; by default the shape of x is kept for backward, and dx = dy in that shape."""

    slots: ClassVar[tuple[str, ...] | None] = ("input",)
    family: ClassVar[str] = "reshape"

    def backward(self, p: Values, saved: Any, dy: Tensor) -> Gradients:
        return (dy.reshape(saved),), {}


@register
class Flatten(Reshaping):
    """The axes from start_dim to end_dim joined into one; y has the elements of x in the same order, dx those of dy.

    x (n, c, h, w) -> y (n, c h w) by default. Kept for backward: the shape of x.
    """

    start_dim: int = setting(integer(), default=1)
    end_dim: int = setting(integer(), default=-1)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return x.flatten(self.start_dim, self.end_dim), x.shape

    def expects(self, *inputs: Tensor) -> str:
        return f"an axis {self.start_dim}, and an axis {self.end_dim} that is not before it"


@register
class Unflatten(Reshaping):
    """One axis split into several: torch.nn.Unflatten, the inverse of Flatten.

    x (n, a b) -> y (n, a, b) with dim 1 and unflattened_size (a, b), one of which may be -1: it is inferred from the
    others. torch's named axes are not supported. Kept for backward: the shape of x.
    """

    dim: int = setting(integer())
    unflattened_size: tuple[int, ...] = setting(sizes("a tuple of sizes"))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        if -x.dim() <= self.dim < x.dim():
            check_split(x.shape[self.dim], self.unflattened_size, f"axis {self.dim} of the input")
        return torch.unflatten(x, self.dim, self.unflattened_size), x.shape

    def describe(self) -> str:
        return f"dim {self.dim} → {by_sizes(self.unflattened_size)}"

    def expects(self, *inputs: Tensor) -> str:
        known = math.prod(size for size in self.unflattened_size if size != -1)
        return f"an axis {self.dim} of length {'a multiple of ' if -1 in self.unflattened_size else ''}{known}"


@register
class Reshape(Reshaping):
    """Another shape for every row of the batch; y has the elements of x in the same order, and dx those of dy.

    x (n, ...) -> y (n, *shape): `shape` is that of a row, without the axis of the batch, as in Reshape((8, 4, 4)). One
    size may be -1: it is inferred from the others. Kept for backward: the shape of x.

    torch.reshape takes the whole shape. Flatten(0) and Unflatten change the first axis too.
    """

    shape: tuple[int, ...] = setting(sizes("the shape of a row as a tuple of sizes"))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        if not x.dim():
            raise ShapeError("the input has no axis of the batch")
        return x.reshape(x.shape[0], *self._row(math.prod(x.shape[1:]))), x.shape

    def _row(self, count: int) -> list[int]:
        """The shape of a row of so many elements."""
        known = check_split(count, self.shape, "a row of the input")
        return [count // known if size == -1 else size for size in self.shape]

    def describe(self) -> str:
        return by_sizes(self.shape)


@register
class Transpose(Reshaping):
    """Exchange of two axes: torch.transpose; y is a view of x, and dx one of dy. Nothing is kept for backward."""

    dim0: int = setting(integer())
    dim1: int = setting(integer())

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x.transpose(self.dim0, self.dim1), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy.transpose(self.dim0, self.dim1),), {}

    def describe(self) -> str:
        return f"{self.dim0} ↔ {self.dim1}"

    def expects(self, *inputs: Tensor) -> str:
        return named((self.dim0, self.dim1))


@register
class Permute(Reshaping):
    """The axes in another order: torch.permute; y is a view of x, and dx one of dy.

    dims  axis k of y is axis dims[k] of x. All axes are named, that of the batch too: Permute((0, 2, 1))

    Nothing is kept for backward.
    """

    dims: tuple[int, ...] = setting(integers("a tuple of axes, such as (0, 2, 1)"))

    def check_settings(self) -> None:
        rank = len(self.dims)
        if sorted(dim % rank for dim in self.dims) != list(range(rank)) or not -rank <= min(self.dims):
            raise SettingError(f"Permute: dims must name each of the axes 0 to {rank - 1} once, not {self.dims}")

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x.permute(self.dims), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        rank = len(self.dims)
        inverse = [0] * rank
        for k, dim in enumerate(self.dims):
            inverse[dim % rank] = k
        return (dy.permute(inverse),), {}

    def describe(self) -> str:
        return ", ".join(map(str, self.dims))

    def expects(self, *inputs: Tensor) -> str:
        return f"an input of {len(self.dims)} axes"


@register
class Squeeze(Reshaping):
    """Removal of axes of length 1: torch.squeeze; y is a view of x, and dx one of dy.

    dim  an axis, or a tuple of axes. Without it, torch removes all axes of length 1, also that of a batch of one row:
         here, it is required

    Kept for backward: the shape of x.
    Errors: ShapeError for an axis of another length, which torch leaves in place.
    """

    dim: Axes = setting(one_or_several("axes"))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        axes = as_tuple(self.dim)
        if any(x.shape[axis] != 1 for axis in axes):
            raise ShapeError("only an axis of length 1 can be removed")
        return x.squeeze(axes), x.shape

    def expects(self, *inputs: Tensor) -> str:
        return f"{named(self.dim)} of length 1"


@register
class Unsqueeze(Reshaping):
    """Insertion of an axis of length 1, which is then axis `dim`: torch.unsqueeze; y is a view of x, and dx one of dy.

    Nothing is kept for backward.
    """

    dim: int = setting(integer())

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x.unsqueeze(self.dim), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy.squeeze(self.dim),), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"an input of at least {least_rank(self.dim)} axes"


@register
class Stack(Operator):
    """Any number of inputs of the same shape, joined along a new axis: torch.stack; the gradients are views of dy.

    x_k (n, c, ...) -> y (n, k, c, ...) with dim 1, the default; torch.stack has 0, the axis of the batch. Nothing is
    kept for backward.
    """

    dim: int = setting(integer(), default=1)

    slots: ClassVar = None
    family: ClassVar = "merge"

    def forward(self, p: Values, *xs: Tensor, training: bool) -> tuple[Tensor, None]:
        return torch.stack(xs, self.dim), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return dy.unbind(self.dim), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"inputs of the same shape, of at least {least_rank(self.dim)} axes"
