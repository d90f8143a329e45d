"""Learned filters: the base class of all convolutions."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Self, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError, counted
from graphdl.initializers import Initializer, Uniform, VarianceScaling
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Parameter, Values
from graphdl.operators.shared.borders import Borders, PaddingMode, pad, unpad
from graphdl.operators.shared.layout import arrange, arranged_like
from graphdl.operators.shared.sizes import Sizes, Spatial, times
from graphdl.settings import described

Geometry: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool, tuple[int, ...], int]
"""Stride, padding, dilation, whether transposed, output padding and groups, as torch's kernels take them."""

aten = torch.ops.aten


class Filters(Spatial):
    """Parameters, kernels and texts of convolutions; the settings stand in torch.nn's order in each kind."""

    in_channels: int | None
    out_channels: int | None
    kernel_size: Sizes | None
    groups: int
    bias: bool | Initializer
    padding_mode: PaddingMode
    weight: Initializer | None

    slots: ClassVar = ("input",)
    family: ClassVar = "convolution"
    inferred: ClassVar = ("in_channels",)

    @property
    @abstractmethod
    def borders(self) -> Borders:
        """The padding to add before the kernel."""

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """What torch's kernels take after the tensors."""

    def check_settings(self) -> None:
        super().check_settings()
        owner = type(self).__name__
        for name in ("out_channels", "kernel_size"):
            if getattr(self, name) is None:
                raise SettingError(
                    f"{owner}: {name} is missing; write {owner}(3, 16, 5) or {owner}(out_channels=16, kernel_size=5)"
                )
        for name in ("in_channels", "out_channels"):
            if (getattr(self, name) or 0) % self.groups:
                raise SettingError(f"{owner}: {name} {getattr(self, name)} cannot be split into {self.groups} groups")

    @property
    def kernel(self) -> tuple[int, ...]:
        """The size of the kernel along each axis."""
        return self.each(self.kernel_size or 1)

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        axis = -1 - len(self.space)
        inputs[0].expect(axis, self.in_channels)
        return KnownSizes({axis: int(self.out_channels or 0)})

    @abstractmethod
    def channels(self) -> tuple[int, int]:
        """The first two axes of the weight."""

    def parameters(self) -> dict[str, Parameter]:
        shape = (*self.channels(), *self.kernel)
        parameters = {"weight": Parameter(shape, self.weight or VarianceScaling(1 / 3))}
        if self.bias is not False:
            bound = 1 / math.sqrt(max(math.prod(shape[1:]), 1))
            initial = Uniform(-bound, bound) if self.bias is True else self.bias
            parameters["bias"] = Parameter((int(self.out_channels or 0),), initial)
        return parameters

    def infer(self, *shapes: torch.Size) -> Self:
        if self.in_channels is not None:
            return self
        if len(shapes[0]) != len(self.space) + 2:
            raise ShapeError(
                f"in_channels can be inferred from {self.layout()}, but the input has {len(shapes[0])} axes: give "
                "data of one channel an axis of length 1 for it, or set in_channels"
            )
        if shapes[0][1] % self.groups:
            raise ShapeError(f"the channels of the input cannot be split into {self.groups} groups")
        return replace(self, in_channels=shapes[0][1])  # type: ignore[type-var]

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        if x.dim() == len(self.space) + 1:
            if x.shape[0] != self.in_channels:
                more = ": a batch needs an axis of channels, x.unsqueeze(1)" if self.in_channels == 1 else ""
                raise ShapeError(
                    f"without a batch axis, the input has {counted(x.shape[0], 'channel')} in place of "
                    f"{self.in_channels}{more}"
                )
            return self.forward(p, x[None], training=training)[0][0], x
        self.check_axes(x)
        if x.shape[1] != self.in_channels:
            last = ": move the last axis to the front, x.movedim(-1, 1)" if x.shape[-1] == self.in_channels else ""
            raise ShapeError(f"the input has {counted(x.shape[1], 'channel')} in place of {self.in_channels}{last}")
        padded = arrange(pad(x, self.borders, self.padding_mode), p["weight"])
        return torch.convolution(padded, p["weight"], p.get("bias"), *self.geometry), x

    def backward(self, p: Values, x: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        if x.dim() == len(self.space) + 1:
            (dxs,), gradients = self.backward(p, x[None], dy[None], needs)
            return (None if dxs is None else dxs[0],), gradients
        padded = arrange(pad(x, self.borders, self.padding_mode), p["weight"])
        wanted = ["input" in needs, "weight" in needs, self.bias is not False and "bias" in needs]
        apart = wanted[2] and self.geometry[3]  # oneDNN is slow in that of a transposed convolution
        dpadded, dweight, dbias = aten.convolution_backward(
            dy, padded, p["weight"], [dy.shape[1]], *self.geometry, [*wanted[:2], wanted[2] and not apart]
        )
        if apart:
            dbias = dy.sum([0, *range(2, dy.dim())])
        if wanted[1]:
            dweight = arranged_like(dweight, p["weight"])
        gradients = {"weight": dweight, "bias": dbias}
        dx = arranged_like(unpad(dpadded, x, self.borders, self.padding_mode), x) if wanted[0] else None
        return (dx,), {name: gradient for name, gradient in gradients.items() if gradient is not None}

    def describe(self) -> str:
        single = len(self.space) == 1
        sizes = f"{self.in_channels or '?'} → {self.out_channels}" + ("" if single else f" {times(self.kernel)}")
        shown = ["in_channels", "out_channels", "weight", *([] if single else ["kernel_size"])]
        return ", ".join([sizes, *described(self, *shown, *(["bias"] if self.bias is not False else []))])
