"""Dense layers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Initializer, Uniform, VarianceScaling
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values, constant
from graphdl.registry import register
from graphdl.settings import either, flag, initializer, optional, setting, size

__all__ = ["Linear"]


@register
class Linear(Operator):
    """Affine map along the last axis: y = x weightᵀ + bias.

    x (n, ..., i) -> y (n, ..., o); weight (o, i), bias (o).
    dx = dy weight; over all rows: dweight = dyᵀ x, dbias = sum dy.

    in_features may be left out: it is inferred from the first input. weight and bias are initializers; by default both
    are Uniform ±1 / sqrt(i), as in torch.nn. bias=False leaves the bias out. Kept for backward: x.
    """

    in_features: int | None = setting(optional(size()), default=None)
    out_features: int | None = setting(optional(size()), default=None)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    weight: Initializer | None = setting(optional(initializer()), default=None)

    slots: ClassVar = ("input",)
    family: ClassVar = "dense"
    inferred: ClassVar = ("in_features",)

    def check_settings(self) -> None:
        if self.out_features is None:
            raise SettingError("Linear: out_features is missing; write Linear(2, 25) or Linear(out_features=25)")

    def parameters(self) -> dict[str, Parameter]:
        i, o = int(self.in_features or 0), int(self.out_features or 0)
        parameters = {"weight": Parameter((o, i), self.weight or VarianceScaling(1 / 3))}
        if self.bias is not False:
            bound = 1 / math.sqrt(max(i, 1))
            parameters["bias"] = Parameter((o,), Uniform(-bound, bound) if self.bias is True else self.bias)
        return parameters

    def infer(self, *shapes: torch.Size) -> Linear:
        if not shapes[0]:
            raise ShapeError("the input is a single number and has no feature axis")
        return replace(self, in_features=shapes[0][-1]) if self.in_features is None else self

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        inputs[0].expect(-1, self.in_features)
        return inputs[0].replaced(-1, self.out_features)

    def forward(self, p: Values, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        if x.dim() < 2 or self.bias is False:
            y = torch.matmul(x, p["weight"].t())
            return y if self.bias is False else y.add_(p["bias"]), x
        rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
        y = torch.addmm(p["bias"].expand(len(rows), -1), rows, p["weight"].t())
        return y if x.dim() == 2 else y.view(*x.shape[:-1], y.shape[1]), x

    def backward(self, p: Values, x: Tensor, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        shape = x.shape
        if x.dim() != 2:
            x, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        dx = torch.mm(dy, p["weight"]).view(shape) if "input" in needs else None
        gradients, dyt = {}, dy.t()
        if "weight" in needs:
            gradients["weight"] = torch.mm(dyt, x, out=needs["weight"])
        if self.bias is not False and "bias" in needs:
            gradients["bias"] = torch.mv(dyt, constant(1.0, dy, len(dy)), out=needs["bias"])
        return (dx,), gradients

    def describe(self) -> str:
        return f"{self.in_features or '?'} → {self.out_features}" + (" no bias" if self.bias is False else "")

    def expects(self, *inputs: Tensor) -> str:
        shape = inputs[0].shape if inputs and isinstance(inputs[0], Tensor) else ()
        if len(shape) > 2 and math.prod(shape[1:]) == self.in_features:
            return f"(n, ..., {self.in_features}): put Flatten() before it"
        change = f": give such data, or change in_features to {shape[-1]}" if shape and self.in_features else ""
        return f"(n, ..., {self.in_features or 'i'}){'' if shape[-1:] == (self.in_features,) else change}"
