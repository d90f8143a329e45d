"""Batch normalization and layer normalization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.initializers import Constant, Zeros
from graphdl.operators.operator import EVERYTHING, Buffer, Gradients, Needs, Operator, Parameter, Values
from graphdl.registry import register
from graphdl.settings import flag, number, optional, setting, size, sizes

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm"]

aten = torch.ops.aten


@dataclass(frozen=True)
class BatchNorm(Operator):
    """Normalization of each channel over the batch: y = weight (x - mean) / sqrt(var + eps) + bias.

    dx = weight / sqrt(var + eps) (dy - mean(dy) - z mean(dy z)), where z = (x - mean) / sqrt(var + eps);
    dweight = sum dy z, dbias = sum dy.

    In training, the mean and the (biased) variance are those of the batch, and the running statistics are updated:
    running = (1 - momentum) running + momentum batch, with the unbiased variance; momentum None averages over all
    batches. In inference, they are the running statistics, or those of the batch if track_running_stats is False.

    num_features may be left out: it is inferred from the first input. Kept for backward: x, and one mean and standard
    deviation per channel. Raises ShapeError if statistics of a batch with one value per channel are needed.
    Source: Ioffe and Szegedy, "Batch normalization", 2015.
    """

    num_features: int | None = setting(optional(size()), default=None)
    eps: float = setting(number(0), default=1e-5)
    momentum: float | None = setting(optional(number(0)), default=0.1)
    affine: bool = setting(flag(), default=True)
    track_running_stats: bool = setting(flag(), default=True)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    inferred: ClassVar = ("num_features",)
    ranks: ClassVar[tuple[int, ...]] = ()
    layout: ClassVar[str] = ""

    def parameters(self) -> dict[str, Parameter]:
        shape = (int(self.num_features or 0),)
        return {"weight": Parameter(shape, Constant(1)), "bias": Parameter(shape, Zeros())} if self.affine else {}

    def buffers(self) -> dict[str, Buffer]:
        if not self.track_running_stats:
            return {}
        shape = (int(self.num_features or 0),)
        return {
            "running_mean": Buffer(shape),
            "running_var": Buffer(shape, Constant(1)),
            "num_batches_tracked": Buffer((), dtype=torch.int64),
        }

    def infer(self, *shapes: torch.Size) -> Self:
        if self.num_features is not None:
            return self
        if len(shapes[0]) not in self.ranks:
            raise ShapeError(
                f"num_features can be inferred from {self.layout}, but the input has {len(shapes[0])} axes"
            )
        return replace(self, num_features=shapes[0][1])

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Any]:
        if x.dim() not in self.ranks or x.shape[1] != self.num_features:
            raise ShapeError("its shape does not fit what it normalizes")
        by_batch = training or not self.track_running_stats
        if by_batch and x.numel() == self.num_features:
            if x.is_meta:  # only the shape is needed, even for a single row
                return torch.empty_like(x), None
            raise ShapeError(
                "a single value per channel has no variance: train on larger batches, and leave out a last batch of "
                "one row"
            )
        running = [p["running_mean"], p["running_var"]] if self.track_running_stats else []
        averages = training and self.momentum is None
        moved = [tensor.clone() for tensor in running] if averages else running
        momentum = 1.0 if self.momentum is None else self.momentum
        tensors = p.get("weight"), p.get("bias"), *(moved or (None, None))
        y, *kept = aten._batch_norm_impl_index(x, *tensors, by_batch, momentum, self.eps, True)
        if training and running:
            count = p["num_batches_tracked"].add_(1)
            for tensor, batch in zip(running, moved, strict=True) if averages else ():
                tensor.lerp_(batch, count.to(tensor.dtype).reciprocal())
        return y, (x, by_batch, *kept)

    def backward(self, p: Values, saved: Any, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, by_batch, mean, invstd, reserve, kernel = saved
        wanted = ["input" in needs, self.affine and "weight" in needs, self.affine and "bias" in needs]
        statistics = p.get("running_mean"), p.get("running_var"), mean, invstd
        dx, dweight, dbias = aten._batch_norm_impl_index_backward(
            kernel, x, dy, p.get("weight"), *statistics, by_batch, self.eps, wanted, reserve
        )
        if wanted[0] and not x.numel():
            dx = torch.empty_like(x)  # the kernel returns none
        gradients = zip(("weight", "bias"), (dweight, dbias), wanted[1:], strict=True)
        return (dx if wanted[0] else None,), {name: gradient for name, gradient, asked in gradients if asked}

    def describe(self) -> str:
        chosen = [f"eps {self.eps:g}"] if self.eps != 1e-5 else []
        chosen += [f"momentum {self.momentum}"] if self.momentum != 0.1 else []
        chosen += [] if self.affine else ["not affine"]
        chosen += [] if self.track_running_stats else ["by the batch alone"]
        return ", ".join([f"{self.num_features or '?'} channels", *chosen])

    def expects(self, *inputs: Tensor) -> str:
        return self.layout.replace("c", str(self.num_features or "c"))


@register
class BatchNorm1d(BatchNorm):
    """Batch normalization of features, or of the channels of sequences; formulas and settings as in BatchNorm.

    x (n, c) or (n, c, t) -> y of the same shape; weight, bias (c).
    """

    ranks: ClassVar = (2, 3)
    layout: ClassVar = "(n, c) or (n, c, t)"


@register
class BatchNorm2d(BatchNorm):
    """Batch normalization of the channels of images; formulas and settings as in BatchNorm.

    x (n, c, h, w) -> y of the same shape; weight, bias (c).
    """

    ranks: ClassVar = (4,)
    layout: ClassVar = "(n, c, h, w)"


@register
class LayerNorm(Operator):
    """Normalization of each row over its last axes: y = weight (x - mean) / sqrt(var + eps) + bias.

    x (n, ..., *normalized_shape) -> y of the same shape; weight, bias (*normalized_shape).
    dx = (g - mean(g) - z mean(g z)) / sqrt(var + eps), where z = (x - mean) / sqrt(var + eps) and g = weight dy;
    over all rows: dweight = sum dy z, dbias = sum dy.

    normalized_shape is a number or a tuple; by default it is the last axis of the first input. elementwise_affine=False
    leaves weight and bias out, bias=False the bias. Kept for backward: x, and one mean and standard deviation per row.
    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    normalized_shape: int | tuple[int, ...] | None = setting(optional(sizes()), default=None)
    eps: float = setting(number(0), default=1e-5)
    elementwise_affine: bool = setting(flag(), default=True)
    bias: bool = setting(flag(), default=True)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    inferred: ClassVar = ("normalized_shape",)

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """The lengths of the normalized axes; () while they are unknown."""
        shape = self.normalized_shape
        return shape if isinstance(shape, tuple) else () if shape is None else (shape,)

    def parameters(self) -> dict[str, Parameter]:
        weight, bias = Parameter(self.axes, Constant(1)), Parameter(self.axes, Zeros())
        if not self.elementwise_affine:
            return {}
        return {"weight": weight, "bias": bias} if self.bias else {"weight": weight}

    def infer(self, *shapes: torch.Size) -> LayerNorm:
        if not shapes[0]:
            raise ShapeError("the input is a single number and has no axis to normalize")
        return replace(self, normalized_shape=shapes[0][-1]) if self.normalized_shape is None else self

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

    def describe(self) -> str:
        chosen = [f"eps {self.eps:g}"] if self.eps != 1e-5 else []
        chosen += ["not affine"] if not self.elementwise_affine else [] if self.bias else ["no bias"]
        return ", ".join(["×".join(map(str, self.axes)) or "?", *chosen])

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, ..., {', '.join(map(str, self.axes))})"
