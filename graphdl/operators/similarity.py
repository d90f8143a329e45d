"""Bilinear maps, similarities and distances.

Operators that compare two inputs, by a learned form, an angle or a distance.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Initializer, Uniform
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values, constant
from graphdl.registry import register
from graphdl.settings import any_number, either, flag, initializer, integer, number, optional, setting, size

__all__ = ["Bilinear", "CosineSimilarity", "PairwiseDistance"]


@register
class Bilinear(Operator):
    """Bilinear map of two inputs: y_o = sum_ij x1_i weight_oij x2_j + bias_o.

    x1 (n, ..., i), x2 (n, ..., j) -> y (n, ..., o); weight (o, i, j), bias (o).
    dx1_i = sum_oj dy_o weight_oij x2_j, dx2_j = sum_oi dy_o x1_i weight_oij; over all rows: dweight_oij = sum dy_o x1_i
    x2_j, dbias = sum dy.

    in1_features and in2_features may be left out: they are inferred from the first inputs. weight and bias are
    initializers; by default both are Uniform ±1 / sqrt(i), as in torch.nn. bias=False leaves the bias out.
    Kept for backward: x1, x2 and the products of weight and x2, (n, ..., o, i).
    """

    in1_features: int | None = setting(optional(size()), default=None)
    in2_features: int | None = setting(optional(size()), default=None)
    out_features: int | None = setting(optional(size()), default=None)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    weight: Initializer | None = setting(optional(initializer()), default=None)

    slots: ClassVar = ("input1", "input2")
    family: ClassVar = "dense"
    inferred: ClassVar = ("in1_features", "in2_features")

    def check_settings(self) -> None:
        if self.out_features is None:
            raise SettingError(
                "Bilinear: out_features is missing; write Bilinear(20, 30, 40) or Bilinear(out_features=40)"
            )

    def parameters(self) -> dict[str, Parameter]:
        i, j, o = (int(count or 0) for count in (self.in1_features, self.in2_features, self.out_features))
        bound = 1 / math.sqrt(max(i, 1))
        parameters = {"weight": Parameter((o, i, j), self.weight or Uniform(-bound, bound))}
        if self.bias is not False:
            parameters["bias"] = Parameter((o,), Uniform(-bound, bound) if self.bias is True else self.bias)
        return parameters

    def infer(self, *shapes: torch.Size) -> Bilinear:
        if not all(shapes):
            raise ShapeError("an input is a single number and has no feature axis")
        i, j = self.in1_features or shapes[0][-1], self.in2_features or shapes[1][-1]
        return replace(self, in1_features=i, in2_features=j)

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        inputs[0].expect(-1, self.in1_features)
        inputs[1].expect(-1, self.in2_features)
        return KnownSizes({-1: int(self.out_features or 0)})

    def forward(
        self, p: Values, x1: Tensor, x2: Tensor, *, training: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        o, i, j = p["weight"].shape
        if x1.shape[-1:] != (i,) or x2.shape[-1:] != (j,) or x1.shape[:-1] != x2.shape[:-1]:
            raise ShapeError("the inputs do not fit together")
        rows1, rows2 = x1.reshape(-1, i), x2.reshape(-1, j)
        products = torch.mm(rows2, p["weight"].view(-1, j).t()).view(-1, o, i)
        columns = rows1.unsqueeze(2)
        y = torch.bmm(products, columns) if self.bias is False else torch.baddbmm(p["bias"][:, None], products, columns)
        return y.view(*x1.shape[:-1], o), (x1, x2, products)

    def backward(
        self, p: Values, saved: tuple[Tensor, Tensor, Tensor], dy: Tensor, needs: Needs = EVERYTHING
    ) -> Gradients:
        x1, x2, products = saved
        o, i, j = p["weight"].shape
        rows1, rows2, dy = x1.reshape(-1, i), x2.reshape(-1, j), dy.reshape(-1, o)
        dx1 = torch.bmm(dy.unsqueeze(1), products).view(x1.shape) if "input1" in needs else None
        dx2, gradients = None, {}
        if "input2" in needs or "weight" in needs:
            dproducts = (dy.unsqueeze(2) * rows1.unsqueeze(1)).reshape(-1, o * i)
            if "input2" in needs:
                dx2 = torch.mm(dproducts, p["weight"].view(-1, j)).view(x2.shape)
            if "weight" in needs:
                gradients["weight"] = torch.mm(dproducts.t(), rows2).view(o, i, j)
        if self.bias is not False and "bias" in needs:
            gradients["bias"] = torch.mv(dy.t(), constant(1.0, dy, len(dy)), out=needs["bias"])
        return (dx1, dx2), gradients

    def describe(self) -> str:
        text = f"{self.in1_features or '?'}, {self.in2_features or '?'} → {self.out_features}"
        return text + (" no bias" if self.bias is False else "")

    def expects(self, *inputs: Tensor) -> str:
        return f"(n, ..., {self.in1_features or 'i'}) and (n, ..., {self.in2_features or 'j'}) with the same first axes"


class Compared(NamedTuple):
    """What the backward of CosineSimilarity needs: the inputs, their norms (1 along dim) and y, shaped as these."""

    x1: Tensor
    x2: Tensor
    norm1: Tensor
    norm2: Tensor
    y: Tensor


@register
class CosineSimilarity(Operator):
    """Cosine of the angle between two vectors: y = x1 · x2 / (max(|x1|, eps) max(|x2|, eps)), along the axis dim.

    x1, x2 (n, ..., i, ...) -> y (n, ..., ...), without the axis dim.
    dx1 = dy (x2 / (|x1| |x2|) - y x1 / |x1|²), and dx2 likewise. Where a norm is below eps, the gradient is that of
    torch, which takes eps in place of the norm as a factor and differentiates the norm, with 0 at a norm of 0.

    The inputs have the same number of axes, and along each the same length or 1; an axis of length 1, other than dim,
    is broadcast. Kept for backward: x1, x2, their norms and y.
    """

    dim: int = setting(integer(), default=1)
    eps: float = setting(number(0), default=1e-8)

    slots: ClassVar = ("x1", "x2")
    family: ClassVar = "merge"

    def forward(self, p: Values, x1: Tensor, x2: Tensor, *, training: bool) -> tuple[Tensor, Compared]:
        check_pair(x1, x2, self.dim)
        norm1, norm2 = (torch.linalg.vector_norm(x, 2, self.dim, keepdim=True) for x in (x1, x2))
        y = (x1 * x2).sum(self.dim, keepdim=True)
        y.div_(norm1.clamp_min(self.eps)).div_(norm2.clamp_min(self.eps))
        return y.squeeze(self.dim), Compared(x1, x2, norm1, norm2, y)

    def backward(self, p: Values, saved: Compared, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x1, x2, norm1, norm2, y = saved
        dy = dy.unsqueeze(self.dim)
        factor1, factor2 = norm1.clamp_min(self.eps), norm2.clamp_min(self.eps)
        straight, turned = dy / (factor1 * factor2), dy * y

        def share(own: Tensor, other: Tensor, norm: Tensor, factor: Tensor) -> Tensor:
            back = (turned / (norm * factor)).masked_fill_(norm == 0, 0)
            return torch.addcmul(other * straight, own, back, value=-1).sum_to_size(own.shape)

        dx1 = share(x1, x2, norm1, factor1) if "x1" in needs else None
        return (dx1, share(x2, x1, norm2, factor2) if "x2" in needs else None), {}

    def expects(self, *inputs: Tensor) -> str:
        return f"two inputs of the same shape, (n, ...), with an axis {self.dim}"


class Distance(NamedTuple):
    """What the backward of PairwiseDistance needs: z, its norm y (n, ..., 1), and the shapes of the inputs."""

    z: Tensor
    y: Tensor
    shape1: torch.Size
    shape2: torch.Size


@register
class PairwiseDistance(Operator):
    """Distance between two vectors: y = |z|_p = (sum |z|^p)^(1/p), z = x1 - x2 + eps, along the last axis.

    x1, x2 (n, ..., i) -> y (n, ...), or (n, ..., 1) with keepdim.
    dx1 = dy sign(z) (|z| / y)^(p - 1), dx2 = -dx1; 0 where y is 0. For p = infinity, y is the largest |z|, whose
    gradient is shared by all z that have it; for p = 0, y is the number of z that are not 0, and has no gradient.

    The inputs have the same number of axes, and along each the same length or 1; an axis of length 1, other than the
    last, is broadcast. Kept for backward: z and y.
    """

    p: float = setting(any_number(), default=2.0)
    eps: float = setting(number(), default=1e-6)
    keepdim: bool = setting(flag(), default=False)

    slots: ClassVar = ("x1", "x2")
    family: ClassVar = "merge"

    def check_settings(self) -> None:
        if not self.p >= 0:
            raise SettingError(f"PairwiseDistance: p must be a number of at least 0 or infinity, not {self.p}")

    def forward(self, p: Values, x1: Tensor, x2: Tensor, *, training: bool) -> tuple[Tensor, Distance]:
        check_pair(x1, x2, -1)
        z = torch.sub(x1, x2).add_(self.eps)
        y = self.norm(z)
        return y if self.keepdim else y.squeeze(-1), Distance(z, y, x1.shape, x2.shape)

    def backward(self, p: Values, saved: Distance, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        z, y, shape1, shape2 = saved
        dz = self.norm_gradient(z, y, dy if self.keepdim else dy.unsqueeze(-1))
        dx1 = dz.sum_to_size(shape1) if "x1" in needs else None
        return (dx1, dz.neg().sum_to_size(shape2) if "x2" in needs else None), {}

    def norm(self, z: Tensor) -> Tensor:
        """The norm of z along the last axis, which stays, with the length 1."""
        if self.p not in (0, 1, 2, math.inf):  # where vector_norm is slow
            return z.abs().pow_(self.p).sum(-1, keepdim=True).pow_(1 / self.p)
        norm: Tensor = torch.linalg.vector_norm(z, self.p, -1, keepdim=True)
        return norm

    def norm_gradient(self, z: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        """The gradient of the norm y of z."""
        if self.p == 0:
            return torch.zeros_like(z)
        if self.p == 1:
            return z.sign().mul_(dy)
        if self.p == 2:
            return z * (dy / y).masked_fill_(y == 0, 0)
        if self.p == math.inf:
            largest = z.abs() == y
            return z.sign().mul_(largest).mul_(dy / largest.sum(-1, keepdim=True))
        shares = z * y.reciprocal().masked_fill_(y == 0, 0)
        powers = shares.abs().pow_(self.p - 1)
        if self.p < 1:
            powers.masked_fill_(shares == 0, 0)
        return shares.sign().mul_(powers).mul_(dy)

    def expects(self, *inputs: Tensor) -> str:
        return "two inputs (n, ..., i) of the same shape"


def check_pair(x1: Tensor, x2: Tensor, dim: int) -> None:
    """Raise ShapeError unless the inputs are equally long along dim, and along others or one of them 1."""
    if x1.dim() != x2.dim():
        raise ShapeError("the inputs have different numbers of axes")
    if not -x1.dim() <= dim < x1.dim():
        raise ShapeError(f"the inputs have no axis {dim}")
    lengths = list(zip(x1.shape, x2.shape, strict=True))
    if lengths[dim][0] != lengths[dim][1] or any(a != b and 1 not in (a, b) for a, b in lengths):
        raise ShapeError("the shapes of the inputs differ")
