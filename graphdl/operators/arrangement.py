"""Padding, repetition and order of elements.

Axes are counted as in torch: from 0, the axis of the batch, or from the end if negative.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError, counted
from graphdl.operators.operator import Gradients, Operator, Values, constant
from graphdl.operators.shared.axes import Axes, as_tuple, by_sizes, integers, named, one_or_several
from graphdl.operators.shared.borders import PaddingMode, pad, unpad
from graphdl.registry import register
from graphdl.settings import any_number, choice, setting

__all__ = ["Expand", "Flip", "Pad", "Repeat", "Roll"]

aten = torch.ops.aten

Mode: TypeAlias = Literal["constant", "reflect", "replicate", "circular"]


class Arrangement(Operator):
    """One input, whose elements are arranged in another way."""

    slots: ClassVar[tuple[str, ...] | None] = ("input",)
    family: ClassVar[str] = "reshape"


@register
class Expand(Arrangement):
    """Repetition of axes of length 1 without a copy: torch.Tensor.expand.

    sizes  the length of each axis of y; -1 keeps that of x. Additional sizes at the start add axes

    y is a view of x; dx is the sum of dy along the repeated axes. Kept for backward: the shape of x. Arithmetic
    operators and Sum broadcast by themselves.
    """

    sizes: tuple[int, ...] = setting(integers("a tuple of sizes, -1 for axes that stay", -1))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return x.expand(self.sizes), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        return (dy if dy.shape == shape else dy.sum_to_size(shape),), {}

    def describe(self) -> str:
        return by_sizes(self.sizes)

    def expects(self, *inputs: Tensor) -> str:
        return f"axes that fit {self.sizes}: each of the same length or of length 1; -1 keeps an axis that x has"


@register
class Repeat(Arrangement):
    """Copies of the whole input along each axis: torch.Tensor.repeat.

    repeats  the number of copies along each axis, that of the batch included; additional numbers at the start add axes

    dx is the sum of dy over the copies. Kept for backward: the shape of x.
    """

    repeats: tuple[int, ...] = setting(integers("a tuple of whole numbers of at least 1, one for each axis", 1))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, torch.Size]:
        return x.repeat(self.repeats), x.shape

    def backward(self, p: Values, shape: torch.Size, dy: Tensor) -> Gradients:
        padded = (1,) * (len(self.repeats) - len(shape)) + tuple(shape)
        split = [size for pair in zip(self.repeats, padded, strict=True) for size in pair]
        copies = [2 * k for k, count in enumerate(self.repeats) if count > 1]
        dx = dy.reshape(split)
        return ((dx.sum(copies) if copies else dx).reshape(shape),), {}

    def describe(self) -> str:
        return by_sizes(self.repeats)

    def expects(self, *inputs: Tensor) -> str:
        return f"an input of at most {counted(len(self.repeats), 'axis')}"


@register
class Roll(Arrangement):
    """Cyclic shift of elements along axes: torch.roll; dx is dy, rolled back. Nothing is kept for backward.

    shifts, dims  one number each for one axis, or tuples of the same length for several

    Without dims, torch rolls the flattened tensor, across the rows of a batch: here, dims is 1 by default.
    """

    shifts: Axes = setting(one_or_several("them"))
    dims: Axes = setting(one_or_several("them"), default=1)

    def check_settings(self) -> None:
        if len(as_tuple(self.shifts)) != len(as_tuple(self.dims)):
            raise SettingError(f"Roll: shifts {self.shifts} and dims {self.dims} must have the same length")

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x.roll(self.shifts, self.dims), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy.roll([-shift for shift in as_tuple(self.shifts)], self.dims),), {}

    def expects(self, *inputs: Tensor) -> str:
        return named(self.dims)


@register
class Flip(Arrangement):
    """Reversal of the order of elements along axes: torch.flip; dx is dy, flipped back.

    Nothing is kept for backward.
    """

    dims: Axes = setting(one_or_several("axes"))

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, None]:
        return x.flip(self.dims), None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (dy.flip(self.dims),), {}

    def expects(self, *inputs: Tensor) -> str:
        return named(self.dims)


@register
class Pad(Arrangement):
    """Padding of the last axes: torch.nn.functional.pad, and torch.nn.ZeroPad2d, ReflectionPad1d and the like.

    x (n, ..., h, w) -> y (n, ..., top + h + bottom, left + w + right). dx is dy without the padding; where the padding
    is copied from x, its gradient is added to that of the element it was copied from.

    padding  (left, right), or (left, right, top, bottom), and so on: what is added at both ends of the last axis, then
             of the one before it. With mode "constant" a negative number removes elements
    mode     "constant"; "reflect", which does not repeat the border; "replicate", which repeats it; "circular"
    value    what is added in mode "constant"

    The modes other than "constant" pad up to three axes, of an input with one or two axes before them; "reflect" needs
    padding smaller than the axis, "circular" padding that is not larger. Kept for backward: the shape of x, unless the
    mode is "constant".
    """

    padding: tuple[int, ...] = setting(integers("a tuple of whole numbers, two for each axis from the last one on"))
    mode: Mode = setting(choice(Mode), default="constant")
    value: float = setting(any_number(), default=0)

    def check_settings(self) -> None:
        pairs = len(self.padding) // 2
        if len(self.padding) % 2:
            raise SettingError(f"Pad: padding must have two numbers for each axis, not {len(self.padding)} numbers")
        if self.mode != "constant" and (pairs > 3 or min(self.padding) < 0):
            raise SettingError(
                f"Pad: mode {self.mode!r} takes up to three axes and no negative padding, not {self.padding}"
            )
        if self.mode != "constant" and self.value != 0:
            raise SettingError(f"Pad: mode {self.mode!r} adds elements of the input, so value must be 0")

    @property
    def border(self) -> PaddingMode:
        """The mode as it is called for convolutions."""
        return "zeros" if self.mode == "constant" else self.mode

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Any]:
        pairs = len(self.padding) // 2
        if self.mode == "constant":
            if pairs > x.dim():
                raise ShapeError(f"padding names {counted(pairs, 'axis')}, and the input has {x.dim()}")
            return aten.constant_pad_nd(x, self.padding, self.value), None
        if x.dim() - pairs not in (1, 2):
            raise ShapeError(
                f"mode {self.mode!r} with {len(self.padding)} numbers does not take {counted(x.dim(), 'axis')}"
            )
        return pad(x, self.padding, self.border), x.shape

    def backward(self, p: Values, shape: Any, dy: Tensor) -> Gradients:
        if self.mode == "constant":
            return (crop(dy, self.padding),), {}
        dy = dy.clone() if self.mode == "circular" else dy  # unpad adds to it there
        return (unpad(dy, constant(0.0, dy).expand(shape), self.padding, self.border),), {}

    def expects(self, *inputs: Tensor) -> str:
        axes = counted(len(self.padding) // 2, "axis")
        if self.mode == "constant":
            return f"at least {axes}, each longer than what is removed from it"
        limit = {"reflect": ", each longer than its padding", "circular": ", none shorter than its padding"}
        return f"{axes} after one or two others{limit.get(self.mode, '')}"


def crop(dy: Tensor, padding: tuple[int, ...]) -> Tensor:
    """The gradient without the padding: a view, unless a negative padding has removed elements."""
    if min(padding) < 0:
        return aten.constant_pad_nd(dy, [-size for size in padding])  # type: ignore[no-any-return]
    for k in range(len(padding) // 2):
        before, after = padding[2 * k : 2 * k + 2]
        dy = dy.narrow(-1 - k, before, dy.shape[-1 - k] - before - after)
    return dy
