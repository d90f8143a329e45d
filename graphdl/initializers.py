"""Initializers of parameters: frozen settings, called with a tensor to fill and a random generator.

Fans: for a weight (o, i, ...) with r = the product of the remaining axes, fan_in = i r and fan_out = o r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError
from graphdl.registry import register
from graphdl.settings import Settings, any_number, choice, number, setting

__all__ = [
    "Constant",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "Normal",
    "TypeOne",
    "Uniform",
    "UniformFanOut",
    "VarianceScaling",
    "XavierNormal",
    "XavierUniform",
    "Zeros",
]


class Initializer(Protocol):
    """Fills a parameter in place with its first values, using the generator for random numbers."""

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor: ...


@register
class Constant(Settings):
    """Every element is `value`."""

    value: float = setting(any_number())

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.fill_(self.value)


@register
class Zeros(Settings):
    """Every element is 0."""

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.zero_()


@register
class Normal(Settings):
    """Normal(mean, std²)."""

    mean: float = setting(number(), default=0.0)
    std: float = setting(number(0), default=1.0)

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.normal_(self.mean, self.std, generator=generator)


@register
class Uniform(Settings):
    """Uniform between `low` and `high`."""

    low: float = setting(number(), default=0.0)
    high: float = setting(number(), default=1.0)

    def check_settings(self) -> None:
        if self.low > self.high:
            raise SettingError(f"Uniform: low must be at most high, not {self.low!r} > {self.high!r}")

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.uniform_(self.low, self.high, generator=generator)


Mode: TypeAlias = Literal["fan_in", "fan_out", "fan_avg"]
Distribution: TypeAlias = Literal["normal", "uniform"]


@register
class VarianceScaling(Settings):
    """Var(w) = scale / fan, mean 0: the family to which the named initializers below belong.

    mode          the fan: "fan_in", "fan_out", or "fan_avg" = (fan_in + fan_out) / 2
    distribution  "normal", or "uniform" between ±sqrt(3 Var(w))

    torch.nn's default for weights, Uniform ±1 / sqrt(fan_in), is VarianceScaling(1 / 3).
    """

    scale: float = setting(number(0), default=1.0)
    mode: Mode = setting(choice(Mode), default="fan_in")
    distribution: Distribution = setting(choice(Distribution), default="uniform")

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        fan_in, fan_out = fans(parameter.shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        std = math.sqrt(self.scale / max(fan, 1))
        if self.distribution == "normal":
            return parameter.normal_(0, std, generator=generator)
        return parameter.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std, generator=generator)


@dataclass(frozen=True)
class _Named(Settings):
    """An initializer defined as a VarianceScaling with certain settings."""

    def scaling(self) -> VarianceScaling:
        raise SettingError(f"{type(self).__name__} does not define scaling()")

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return self.scaling()(parameter, generator)


@dataclass(frozen=True)
class _Xavier(_Named):
    gain: float = setting(number(), default=1.0)


@dataclass(frozen=True)
class _Kaiming(_Named):
    gain: float = setting(number(), default=math.sqrt(2))
    mode: Mode = setting(choice(Mode), default="fan_in")


@register
class XavierNormal(_Xavier):
    """Normal with Var(w) = 2 gain² / (fan_in + fan_out). Glorot and Bengio, 2010."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, "fan_avg", "normal")


@register
class XavierUniform(_Xavier):
    """Uniform with Var(w) = 2 gain² / (fan_in + fan_out). Glorot and Bengio, 2010."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, "fan_avg", "uniform")


@register
class KaimingNormal(_Kaiming):
    """Normal with Var(w) = gain² / fan; the default gain sqrt(2) suits ReLU. He et al., 2015."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, self.mode, "normal")


@register
class KaimingUniform(_Kaiming):
    """Uniform with Var(w) = gain² / fan; the default gain sqrt(2) suits ReLU. He et al., 2015."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, self.mode, "uniform")


@register
class TypeOne(_Named):
    """Normal with Var(w) = 1 / (sqrt(3) fan_in)."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(1 / math.sqrt(3), "fan_in", "normal")


@register
class UniformFanOut(_Named):
    """Uniform ±1 / sqrt(fan_out)."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(1 / 3, "fan_out", "uniform")


def fans(shape: torch.Size) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight; a vector counts as the weights of a single output."""
    if len(shape) < 2:
        return shape.numel(), 1
    receptive = shape[2:].numel()
    return shape[1] * receptive, shape[0] * receptive


def fill(name: str, parameter: Tensor, initializer: Initializer, generator: Generator | None) -> None:
    """Give a parameter its first values. Raises SettingError for an initializer that cannot be called for that."""
    try:
        initializer(parameter, generator)
    except (TypeError, AttributeError) as error:
        text = f"{name}: its initializer is called with (tensor, generator), and failed: {error}."
        raise SettingError(text) from error
