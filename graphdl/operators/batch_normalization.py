"""Batch and instance normalization.

Each channel is normalized over the batch, or over each sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Constant, Zeros
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import EVERYTHING, Buffer, Gradients, Needs, Operator, Parameter, Values
from graphdl.operators.shared.groups import Kept, normalize_groups, normalize_groups_backward
from graphdl.operators.shared.layout import arranged_like
from graphdl.registry import register
from graphdl.settings import described, flag, number, optional, setting, size

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
]  # fmt: skip

aten = torch.ops.aten


@dataclass(frozen=True)
class BatchNorm(Operator):
    """Normalization of each channel over the batch: y = weight (x - mean) / sqrt(var + eps) + bias.

    dx = weight / sqrt(var + eps) (dy - mean(dy) - z mean(dy z)), where z = (x - mean) / sqrt(var + eps);
    dweight = sum dy z, dbias = sum dy.

    In training, the mean and the (biased) variance are those of the batch, and the running statistics are updated:
    running = (1 - momentum) running + momentum batch, with the unbiased variance; momentum None averages over all
    batches. In inference, they are the running statistics, or those of the batch if track_running_stats is False.

    num_features may be left out: it is inferred from the first input. affine=False leaves weight and bias out,
    bias=False the bias. Kept for backward: x, and one mean and 1 / sqrt(var + eps) per channel.
    Errors: ShapeError if statistics of a batch with one value per channel are needed.
    Source: Ioffe and Szegedy, "Batch normalization", 2015.
    """

    num_features: int | None = setting(optional(size()), default=None)
    eps: float = setting(number(0), default=1e-5)
    momentum: float | None = setting(optional(number(0)), default=0.1)
    affine: bool = setting(flag(), default=True)
    track_running_stats: bool = setting(flag(), default=True)
    bias: bool = setting(flag(), default=True, kw_only=True)

    slots: ClassVar = ("input",)
    family: ClassVar = "normalization"
    inferred: ClassVar = ("num_features",)
    ranks: ClassVar[tuple[int, ...]] = ()
    layout: ClassVar[str] = ""

    def check_settings(self) -> None:
        if self.eps == 0:
            raise SettingError(f"{type(self).__name__}: eps must be positive, not 0: a channel may have no variance")

    def parameters(self) -> dict[str, Parameter]:
        shape = (int(self.num_features or 0),)
        weight, bias = Parameter(shape, Constant(1)), Parameter(shape, Zeros())
        return {} if not self.affine else {"weight": weight, "bias": bias} if self.bias else {"weight": weight}

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

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        if len(self.ranks) == 1:  # else the place of the channels, axis 1, is not known from the end
            inputs[0].expect(1 - self.ranks[0], self.num_features)
        return inputs[0]

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Any]:
        if x.dim() not in self.ranks or x.shape[1] != self.num_features:
            raise ShapeError("the input has another number of axes or of channels than expected")
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
        wanted = ["input" in needs, *(name in p and name in needs for name in ("weight", "bias"))]
        statistics = p.get("running_mean"), p.get("running_var"), mean, invstd
        dx, dweight, dbias = aten._batch_norm_impl_index_backward(
            kernel, x, arranged_like(dy, x), p.get("weight"), *statistics, by_batch, self.eps, wanted, reserve
        )
        if wanted[0] and not x.numel():
            dx = torch.empty_like(x)  # the kernel returns none
        gradients = zip(("weight", "bias"), (dweight, dbias), wanted[1:], strict=True)
        return (dx if wanted[0] else None,), {name: gradient for name, gradient, asked in gradients if asked}

    def describe(self) -> str:
        return ", ".join([f"{self.num_features or '?'} channels", *described(self, "num_features")])

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
class BatchNorm3d(BatchNorm):
    """Batch normalization of the channels of volumes; formulas and settings as in BatchNorm.

    x (n, c, d, h, w) -> y of the same shape; weight, bias (c).
    """

    ranks: ClassVar = (5,)
    layout: ClassVar = "(n, c, d, h, w)"


@dataclass(frozen=True)
class InstanceNorm(BatchNorm):
    """Normalization of each channel of each sample: y = weight (x - mean) / sqrt(var + eps) + bias.

    The mean and the (biased) variance are those of one channel of one sample, in training and in inference. The
    gradients are those of BatchNorm, with the means over the positions of one sample.

    With track_running_stats, running averages of mean and unbiased variance, both averaged over the batch, are updated
    in training, running = (1 - momentum) running + momentum batch, and normalize in inference. num_batches_tracked
    stays 0, as in torch.nn. affine and track_running_stats are False by default.

    num_features may be left out: it is inferred from the first input, which then has a batch axis. affine=False leaves
    weight and bias out, bias=False the bias. Kept for backward: x, and one mean and 1 / sqrt(var + eps) per sample and
    channel.
    Errors: ShapeError if a channel has a single position, whose variance is 0, or none.
    Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.
    """

    momentum: float = setting(number(0), default=0.1)
    affine: bool = setting(flag(), default=False)
    track_running_stats: bool = setting(flag(), default=False)

    def infer(self, *shapes: torch.Size) -> Self:
        if self.num_features is None and len(shapes[0]) == self.ranks[0]:
            raise ShapeError(
                f"num_features can be inferred from an input with a batch axis only, which is one of "
                f"{self.ranks[1]} axes; this one has {self.ranks[0]}"
            )
        return super().infer(*shapes)

    def check_settings(self) -> None:
        """eps may be 0, as in torch.nn."""

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Any]:
        single, batched = self.ranks
        if x.dim() not in self.ranks or x.shape[x.dim() - single] != self.num_features:
            raise ShapeError("the input has another number of axes or of channels than expected")
        batch = x if x.dim() == batched else x[None]
        if self.track_running_stats and not training:
            y, saved = super().forward(p, batch, training=False)
            return y.view(x.shape) if batch is not x else y, saved
        positions = batch.shape[2:].numel()
        if positions < 2 and not x.is_meta:
            raise ShapeError("a single position per channel has no variance: give larger inputs, or normalize earlier")
        y, kept = normalize_groups(p, batch, batch.shape[1], self.eps)
        if self.track_running_stats and len(batch):
            variance = kept.invstd.pow(-2).mean(0).sub_(self.eps).clamp_min_(0)
            variance.mul_(positions / max(positions - 1, 1))
            p["running_mean"].lerp_(kept.mean.mean(0), self.momentum)
            p["running_var"].lerp_(variance, self.momentum)
        return y.view(x.shape) if batch is not x else y, kept

    def backward(self, p: Values, saved: Any, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        batch = dy if dy.dim() == self.ranks[1] else dy[None]
        if isinstance(saved, Kept):
            dx, gradients = normalize_groups_backward(p, saved, batch.shape[1], batch, needs)
        else:
            (dx,), gradients = super().backward(p, saved, batch, needs)
        return (dx if dx is None or batch is dy else dx[0],), gradients


@register
class InstanceNorm1d(InstanceNorm):
    """Instance normalization of the channels of sequences; formulas and settings as in InstanceNorm.

    x (n, c, t), or (c, t) without a batch -> y of the same shape; weight, bias (c).
    """

    ranks: ClassVar = (2, 3)
    layout: ClassVar = "(n, c, t) or (c, t)"


@register
class InstanceNorm2d(InstanceNorm):
    """Instance normalization of the channels of images; formulas and settings as in InstanceNorm.

    x (n, c, h, w), or (c, h, w) without a batch -> y of the same shape; weight, bias (c).
    """

    ranks: ClassVar = (3, 4)
    layout: ClassVar = "(n, c, h, w) or (c, h, w)"


@register
class InstanceNorm3d(InstanceNorm):
    """Instance normalization of the channels of volumes; formulas and settings as in InstanceNorm.

    x (n, c, d, h, w), or (c, d, h, w) without a batch -> y of the same shape; weight, bias (c).
    """

    ranks: ClassVar = (4, 5)
    layout: ClassVar = "(n, c, d, h, w) or (c, d, h, w)"
