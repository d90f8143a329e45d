"""First values of parameters: frozen settings, called with a tensor to fill and a random generator.

Fans: for a weight (o, i, ...) with r = the product of the remaining axes, fan_in = i r and fan_out = o r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError, did_you_mean
from graphdl.registry import register

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
    """Fills a tensor in place with the first values of a parameter, drawn from the generator."""

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor: ...


@register
@dataclass(frozen=True)
class Constant:
    """Every element is `value`."""

    value: float

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise SettingError(f"Constant: value is a number, not {self.value!r}")

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.fill_(self.value)


@register
@dataclass(frozen=True)
class Zeros:
    """Every element is 0."""

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.zero_()


@register
@dataclass(frozen=True)
class Normal:
    """Normal(mean, std²)."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        check_number("Normal", "mean", self.mean)
        check_number("Normal", "std", self.std, least=0)

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.normal_(self.mean, self.std, generator=generator)


@register
@dataclass(frozen=True)
class Uniform:
    """Uniform between `low` and `high`."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_number("Uniform", "low", self.low)
        check_number("Uniform", "high", self.high)
        if self.low > self.high:
            raise SettingError(f"Uniform: low is at most high, not {self.low!r} > {self.high!r}")

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.uniform_(self.low, self.high, generator=generator)


Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["normal", "uniform"]
MODES = ("fan_in", "fan_out", "fan_avg")


@register
@dataclass(frozen=True)
class VarianceScaling:
    """Var(w) = scale / fan, mean 0: the family to which the named initializers below belong.

    mode          the fan: "fan_in", "fan_out", or "fan_avg" = (fan_in + fan_out) / 2
    distribution  "normal", or "uniform" between ±sqrt(3 Var(w))

    torch.nn's default for weights, Uniform ±1 / sqrt(fan_in), is VarianceScaling(1 / 3).
    """

    scale: float = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "uniform"

    def __post_init__(self) -> None:
        check_number("VarianceScaling", "scale", self.scale, least=0)
        check_choice("VarianceScaling", "mode", self.mode, MODES)
        check_choice("VarianceScaling", "distribution", self.distribution, ("normal", "uniform"))

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        fan_in, fan_out = fans(parameter.shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        std = math.sqrt(self.scale / max(fan, 1))
        if self.distribution == "normal":
            return parameter.normal_(0, std, generator=generator)
        return parameter.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std, generator=generator)


@dataclass(frozen=True)
class _Named:
    """An initializer that is a VarianceScaling of certain settings."""

    def scaling(self) -> VarianceScaling:
        raise SettingError(f"{type(self).__name__} does not say its scaling")

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return self.scaling()(parameter, generator)


@dataclass(frozen=True)
class _Xavier(_Named):
    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)


@dataclass(frozen=True)
class _Kaiming(_Named):
    gain: float = math.sqrt(2)
    mode: Mode = "fan_in"

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)
        check_choice(type(self).__name__, "mode", self.mode, MODES)


@register
@dataclass(frozen=True)
class XavierNormal(_Xavier):
    """Normal with Var(w) = 2 gain² / (fan_in + fan_out). Glorot and Bengio, 2010."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, "fan_avg", "normal")


@register
@dataclass(frozen=True)
class XavierUniform(_Xavier):
    """Uniform with Var(w) = 2 gain² / (fan_in + fan_out). Glorot and Bengio, 2010."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, "fan_avg", "uniform")


@register
@dataclass(frozen=True)
class KaimingNormal(_Kaiming):
    """Normal with Var(w) = gain² / fan; the default gain sqrt(2) suits ReLU. He et al., 2015."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, self.mode, "normal")


@register
@dataclass(frozen=True)
class KaimingUniform(_Kaiming):
    """Uniform with Var(w) = gain² / fan; the default gain sqrt(2) suits ReLU. He et al., 2015."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(self.gain**2, self.mode, "uniform")


@register
@dataclass(frozen=True)
class TypeOne(_Named):
    """Normal with Var(w) = 1 / (sqrt(3) fan_in)."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(1 / math.sqrt(3), "fan_in", "normal")


@register
@dataclass(frozen=True)
class UniformFanOut(_Named):
    """Uniform ±1 / sqrt(fan_out)."""

    def scaling(self) -> VarianceScaling:
        return VarianceScaling(1 / 3, "fan_out", "uniform")


def fans(shape: torch.Size) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight; a vector counts as a single output's weights."""
    if len(shape) < 2:
        return shape.numel(), 1
    receptive = shape[2:].numel()
    return shape[1] * receptive, shape[0] * receptive


def check_number(owner: str, name: str, value: object, least: float | None = None) -> None:
    """Refuse a setting that is no finite number, or one below `least`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (least is not None and value < least):  # type: ignore[operator]  # a number by now
        expected = "a finite number" if least is None else f"a finite number, {least:g} or more"
        raise SettingError(f"{owner}: {name} is {expected}, not {value!r}")


def check_integer(owner: str, name: str, value: object) -> None:
    """Refuse a setting that is no whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(f"{owner}: {name} is a whole number, not {value!r}")


def check_initializer(owner: str, name: str, value: object, others: str = "") -> None:
    """Refuse a setting that is no initializer; a class without its parentheses is the likely slip."""
    if isinstance(value, type):
        raise SettingError(f"{owner}: {name} is the class {value.__name__}: write {value.__name__}(...).")
    if not callable(value):
        raise SettingError(f"{owner}: {name} is {others}an initializer such as Normal(0, 1), not {value!r}.")


def check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a setting that is none of the choices."""
    if value not in choices:
        expected = " or ".join(repr(choice) for choice in choices)
        raise SettingError(f"{owner}: {name} is {expected}, not {value!r}.{did_you_mean(value, choices)}")
