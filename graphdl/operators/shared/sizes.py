"""Axes of space, and the sizes of windows along them.

A size is one number for all of these axes, or a tuple with one for each.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError, listing
from graphdl.operators.known_sizes import Known, KnownSizes
from graphdl.operators.operator import Operator

Sizes: TypeAlias = int | tuple[int, ...]
"""One number for all axes of space, or one for each."""

COUNTS = ("no numbers", "one number", "two", "three")
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class Spatial(Operator):
    """An operator over the last axes of its input (n, c, ...) or (c, ...): the checks and texts of their sizes.

    space  the letters of these axes: "t", "hw" or "dhw"
    """

    space: ClassVar[str] = ""

    def check_settings(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, tuple) and len(value) != len(self.space):
                raise SettingError(
                    f"{type(self).__name__}: {name} must be one number, or a tuple of {COUNTS[len(self.space)]} for "
                    f"{listing(self.space)}, not {value!r}"
                )

    def each(self, value: Sizes) -> tuple[int, ...]:
        """The value for each axis of space."""
        return value if isinstance(value, tuple) else (value,) * len(self.space)

    def times(self, value: Sizes) -> str:
        """Sizes as text: 3×3."""
        return times(self.each(value))

    def layout(self, channels: object = "c") -> str:
        """The axes of an input: (n, c, h, w)."""
        return f"(n, {channels}, {', '.join(self.space)})"

    def check_axes(self, x: Tensor) -> None:
        """Refuse an input that has neither the axes (n, c, ...) nor (c, ...)."""
        if x.dim() - len(self.space) not in (1, 2):
            axes = len(self.space) + 2
            raise ShapeError(f"the input has {x.dim()} axes in place of {axes}, or {axes - 1} without the batch")


class Windows(Spatial):
    """An operator over windows. The kernels know two and three axes: (..., t) is computed as (..., 1, t)."""

    def planar(self, value: Sizes, other: int = 1) -> tuple[int, ...]:
        """The value for each axis of the kernel, where `other` stands for the axis before a single one."""
        values = self.each(value)
        return (other, *values) if len(values) == 1 else values

    def lift(self, x: Tensor) -> Tensor:
        """The input, or the gradient of the output, as the kernel takes it."""
        if len(self.space) == 1:
            return x.unsqueeze(-2)
        # kernels for volumes refuse four axes in the memory format of images
        return x.contiguous() if len(self.space) == 3 and x.dim() == 4 else x

    def lower(self, y: Tensor) -> Tensor:
        """The output, or the gradient of the input, from what the kernel returned."""
        return y.squeeze(-2) if len(self.space) == 1 else y

    def propagate(self, *inputs: KnownSizes) -> Known:
        return inputs[0].only(-1 - len(self.space))

    def hollow(self, dy: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
        """A tensor of the input's shape that is not read: kernels only use its sizes and its memory format."""
        last = CHANNELS_LAST.get(len(self.space)) if len(shape) == len(self.space) + 2 else None
        if last is None or like.is_contiguous() or not like.is_contiguous(memory_format=last):
            last = torch.contiguous_format
        return torch.empty(shape, dtype=dy.dtype, device=dy.device, memory_format=last)


def times(values: tuple[int | None, ...]) -> str:
    """Sizes as text; None is unknown.

    >>> times((3, 3)), times((1, None))
    ('3×3', '1×?')
    """
    return "×".join("?" if value is None else str(value) for value in values)
