"""Layer, RMS, group and local response normalization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Constant, Zeros
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values, constant
from graphdl.operators.shared.groups import Kept, normalize_groups, normalize_groups_backward
from graphdl.registry import register
from graphdl.settings import described, flag, number, optional, setting, size, sizes

__all__ = ["GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]

aten = torch.ops.aten


@dataclass(frozen=True)
class RowNorm(Operator):
    """Normalization of each row over its last axes, whose lengths are normalized_shape.

    normalized_shape is a number or a tuple; by default it is the last axis of the first input.
    """

    normalized_shape: int | tuple[int, ...] | None = setting(optional(sizes()), default=None)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    inferred: ClassVar = ("normalized_shape",)

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """The lengths of the normalized axes; () while they are unknown."""
        shape = self.normalized_shape
        return shape if isinstance(shape, tuple) else () if shape is None else (shape,)

    def infer(self, *shapes: torch.Size) -> Self:
        if not shapes[0]:
            raise ShapeError("the input is a single number and has no axis to normalize")
        return replace(self, normalized_shape=shapes[0][-1]) if self.normalized_shape is None else self

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        for axis, length in enumerate(reversed(self.axes), 1):
            inputs[0].expect(-axis, length)
        return inputs[0]

    def describe(self) -> str:
        return ", ".join(["×".join(map(str, self.axes)) or "?", *described(self, "normalized_shape")])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, ..., {', '.join(map(str, self.axes))})"


@register
class LayerNorm(RowNorm):
    """Normalization of each row over its last axes: y = weight (x - mean) / sqrt(var + eps) + bias.

    x (n, ..., *normalized_shape) -> y of the same shape; weight, bias (*normalized_shape).
    dx = (g - mean(g) - z mean(g z)) / sqrt(var + eps), where z = (x - mean) / sqrt(var + eps) and g = weight dy;
    over all rows: dweight = sum dy z, dbias = sum dy.

    normalized_shape is a number or a tuple. It may be left out: it is then the last axis of the first input.
    elementwise_affine=False leaves weight and bias out, bias=False the bias. Kept for backward: x, and one mean and
    1 / sqrt(var + eps) per row.
    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    eps: float = setting(number(0), default=1e-5)
    elementwise_affine: bool = setting(flag(), default=True)
    bias: bool = setting(flag(), default=True)

    def parameters(self) -> dict[str, Parameter]:
        weight, bias = Parameter(self.axes, Constant(1)), Parameter(self.axes, Zeros())
        if not self.elementwise_affine:
            return {}
        return {"weight": weight, "bias": bias} if self.bias else {"weight": weight}

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        y, mean, invstd = torch.native_layer_norm(x, self.axes, p.get("weight"), p.get("bias"), self.eps)
        return y, (x, mean, invstd)

    def backward(
        self, p: Values, saved: tuple[Tensor, Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING
    ) -> Gradients:
        x, mean, invstd = saved
        wanted = ["input" in needs, *(name in p and name in needs for name in ("weight", "bias"))]
        dx, dweight, dbias = aten.native_layer_norm_backward(
            dy, x, self.axes, mean, invstd, p.get("weight"), p.get("bias"), wanted
        )
        gradients = zip(("weight", "bias"), (dweight, dbias), wanted[1:], strict=True)
        return (dx if wanted[0] else None,), {name: gradient for name, gradient, asked in gradients if asked}


@register
class RMSNorm(RowNorm):
    """Division of each row by the root of its mean square: y = weight x r, r = 1 / sqrt(mean(x²) + eps).

    x (n, ..., *normalized_shape) -> y of the same shape; weight (*normalized_shape).
    dx = r (g - z mean(g z)), where z = x r and g = weight dy; over all rows: dweight = sum dy z.

    normalized_shape is a number or a tuple. It may be left out: it is then the last axis of the first input. eps None
    is the machine epsilon of x's type. elementwise_affine=False leaves the weight out. Kept for backward: x, and one r
    per row.
    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.
    """

    eps: float | None = setting(optional(number(0)), default=None)
    elementwise_affine: bool = setting(flag(), default=True)

    def parameters(self) -> dict[str, Parameter]:
        return {"weight": Parameter(self.axes, Constant(1))} if self.elementwise_affine else {}

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        count = len(self.axes)
        if x.shape[-count:] != self.axes:
            raise ShapeError("the last axes of the input are not those of normalized_shape")
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        root = torch.linalg.vector_norm(x, 2, [*range(-count, 0)], keepdim=True)
        r = root.square_().mul_(1 / torch.Size(self.axes).numel()).add_(eps).rsqrt_()
        y = x * r
        return y.mul_(p["weight"]) if self.elementwise_affine else y, (x, r)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        """The backward of a layer normalization with the mean 0, without its share - r mean(g) of dx."""
        x, r = saved
        weight, zero = p.get("weight"), constant(0.0, r, *r.shape)
        wanted = ["input" in needs, weight is not None and "weight" in needs, False]
        dx, dweight, _ = aten.native_layer_norm_backward(dy, x, self.axes, zero, r, weight, None, wanted)
        if wanted[0]:
            width = torch.Size(self.axes).numel()
            rows = dy.reshape(-1, width)
            factors = constant(1.0, dy, width) if weight is None else weight.reshape(-1)
            dx.add_(torch.mv(rows, factors).view(r.shape).mul_(r), alpha=1 / width)
        return (dx if wanted[0] else None,), {"weight": dweight} if wanted[1] else {}


@register
class GroupNorm(Operator):
    """Normalization of groups of channels of each sample: y = weight (x - mean) / sqrt(var + eps) + bias.

    x (n, c, ...) -> y of the same shape; weight, bias (c), c = num_channels. Channels are divided in their order into
    num_groups groups of equal size; mean and the (biased) variance are those of one group of one sample.
    dx = (g - mean(g) - z mean(g z)) / sqrt(var + eps), where z = (x - mean) / sqrt(var + eps) and g = weight dy, with
    means over a group; over samples and positions: dweight = sum dy z, dbias = sum dy.

    num_channels may be left out: it is inferred from the first input. affine=False leaves weight and bias out,
    bias=False the bias. Where a group has a single value, y is the bias and dx is 0. Kept for backward: x, and one mean
    and 1 / sqrt(var + eps) per sample and group.
    Errors: ShapeError if the batch is one row with a single value per group, as in torch.nn.
    Source: Wu and He, "Group normalization", 2018.
    """

    num_groups: int = setting(size())
    num_channels: int | None = setting(optional(size()), default=None)
    eps: float = setting(number(0), default=1e-5)
    affine: bool = setting(flag(), default=True)
    bias: bool = setting(flag(), default=True, kw_only=True)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    keeps_shape: ClassVar = True
    inferred: ClassVar = ("num_channels",)

    def check_settings(self) -> None:
        if self.num_channels is not None and self.num_channels % self.num_groups:
            raise SettingError(
                f"GroupNorm: num_channels must be a multiple of num_groups, not {self.num_channels} channels in "
                f"{self.num_groups} groups"
            )

    def parameters(self) -> dict[str, Parameter]:
        shape = (int(self.num_channels or 0),)
        weight, bias = Parameter(shape, Constant(1)), Parameter(shape, Zeros())
        return {} if not self.affine else {"weight": weight, "bias": bias} if self.bias else {"weight": weight}

    def infer(self, *shapes: torch.Size) -> GroupNorm:
        if self.num_channels is not None:
            return self
        if len(shapes[0]) < 2:
            raise ShapeError(f"num_channels can be inferred from (n, c, ...), but the input has {len(shapes[0])} axes")
        if shapes[0][1] % self.num_groups:
            raise ShapeError(f"{shapes[0][1]} channels cannot be divided into {self.num_groups} groups")
        return replace(self, num_channels=shapes[0][1])

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Kept]:
        if x.dim() < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"the input needs {self.num_channels} channels along axis 1")
        if x.numel() == self.num_groups and len(x) == 1 and not x.is_meta:
            raise ShapeError(
                "a single row with a single value per group has no variance: take fewer groups, or give larger inputs"
            )
        return normalize_groups(p, x, self.num_groups, self.eps)

    def backward(self, p: Values, kept: Kept, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        dx, gradients = normalize_groups_backward(p, kept, self.num_groups, dy, needs)
        return (dx,), gradients

    def describe(self) -> str:
        chosen = described(self, "num_groups", "num_channels")
        return ", ".join([f"{self.num_channels or '?'} channels in {self.num_groups} groups", *chosen])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, {self.num_channels or 'c'}, ...)"


@register
class LocalResponseNorm(Operator):
    """Division by a norm over neighboring channels: y = x d^-beta, d = k + alpha / size sum x².

    x (n, c, ...) -> y of the same shape. The sum for a channel is over those of the `size` channels around it, from
    size // 2 before it to (size - 1) // 2 after it, that exist.
    dx = dy d^-beta - 2 alpha beta / size x sum(dy y / d), with the sum over the channels whose window has the channel.

    Kept for backward: x and d.
    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
    """

    size: int = setting(size())
    alpha: float = setting(number(), default=1e-4)
    beta: float = setting(number(), default=0.75)
    k: float = setting(number(), default=1.0)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    keeps_shape: ClassVar = True

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if x.dim() < 2:
            raise ShapeError("the input has no axis of channels")
        below, above = self.size // 2, (self.size - 1) // 2
        d = window_sum(x.square(), below, above).mul_(self.alpha / self.size).add_(self.k)
        return d.pow(-self.beta).mul_(x), (x, d)

    def backward(self, p: Values, saved: tuple[Tensor, Tensor], dy: Tensor) -> Gradients:
        x, d = saved
        below, above = self.size // 2, (self.size - 1) // 2
        straight = d.pow(-self.beta).mul_(dy)
        across = window_sum((straight * x).div_(d), above, below)
        return (straight.addcmul_(across, x, value=-2 * self.alpha * self.beta / self.size),), {}

    def describe(self) -> str:
        return ", ".join(described(self))

    def expects(self, *inputs: Tensor) -> str:
        return "(n, c, ...)"


def window_sum(x: Tensor, below: int, above: int) -> Tensor:
    """The sum over the channels from c - below to c + above, for each channel c."""
    total, last = x.clone(), x.shape[1] - 1
    for k in range(1, min(below, last) + 1):
        total[:, k:].add_(x[:, :-k])
    for k in range(1, min(above, last) + 1):
        total[:, :-k].add_(x[:, k:])
    return total
