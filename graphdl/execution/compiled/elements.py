"""Element by element: a function of torch -> the expression in C++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

aten = torch.ops.aten


def _call(name: str) -> Callable[..., str]:
    return lambda t, x: f"{name}({x})"


def _bounded(t: str, x: str, low: str | None = None, high: str | None = None) -> str:
    """Not a number stays so, as in torch."""
    if low is not None:
        x = f"({x} < {low} ? {low} : {x})"
    return x if high is None else f"({x} > {high} ? {high} : {x})"


def _pow(t: str, x: str, exponent: str) -> str:
    number = exponent.rstrip("f")
    if number in ("2.0", "3.0"):
        return " * ".join([x] * int(number[0]))
    return f"std::sqrt({x})" if number == "0.5" else f"std::pow({x}, {exponent})"


def _choose(compare: str) -> Callable[..., str]:
    return lambda t, x, y: f"{x} {compare} {y} || {x} != {x} ? {x} : {y}"


MATHEMATICS = ("exp", "log", "log1p", "expm1", "sin", "cos", "erf", "tanh")
"""Functions that step.h offers, vectorized where the C library can."""

EXPRESSIONS: dict[Any, Callable[..., str]] = {
    **{getattr(aten, name): _call(f"v{name}") for name in MATHEMATICS},
    **{getattr(aten, name): _call(f"std::{name}") for name in ("sqrt", "abs", "floor", "ceil")},
    aten.add: lambda t, x, y: f"{x} + {y}",
    aten.sub: lambda t, x, y: f"{x} - {y}",
    aten.mul: lambda t, x, y: f"{x} * {y}",
    aten.div: lambda t, x, y: f"{x} / {y}",
    aten.neg: lambda t, x: f"-{x}",
    aten.reciprocal: lambda t, x: f"1 / {x}",
    aten.rsqrt: lambda t, x: f"1 / std::sqrt({x})",
    aten.sign: lambda t, x: f"({t})(({x} > 0) - ({x} < 0))",
    aten.relu: lambda t, x: f"{x} < 0 ? 0 : {x}",
    aten.leaky_relu: lambda t, x, slope="0.01": f"{x} > 0 ? {x} : {x} * ({t}){slope}",
    aten.leaky_relu_backward: lambda t, dy, x, slope, _: f"{x} > 0 ? {dy} : {dy} * {slope}",
    aten.sigmoid: lambda t, x: f"1 / (1 + vexp(-{x}))",
    aten.pow: _pow,
    aten.clamp: _bounded,
    aten.clamp_min: _bounded,
    aten.clamp_max: lambda t, x, high: _bounded(t, x, None, high),
    aten.maximum: _choose(">"),
    aten.minimum: _choose("<"),
    aten.where: lambda t, c, x, y: f"{c} ? {x} : {y}",
    aten._to_copy: lambda t, x: x,
}

PREDICATES: dict[Any, Callable[..., str]] = {
    aten.le: lambda t, x, y: f"{x} <= {y}",
    aten.lt: lambda t, x, y: f"{x} < {y}",
    aten.ge: lambda t, x, y: f"{x} >= {y}",
    aten.gt: lambda t, x, y: f"{x} > {y}",
    aten.eq: lambda t, x, y: f"{x} == {y}",
    aten.ne: lambda t, x, y: f"{x} != {y}",
    aten.logical_and: lambda t, x, y: f"{x} && {y}",
    aten.logical_or: lambda t, x, y: f"{x} || {y}",
    aten.logical_not: lambda t, x: f"!{x}",
}
"""Functions whose results are true or false: their arguments keep the type in which they are compared."""

LOGIC = {
    aten.bitwise_and: PREDICATES[aten.logical_and],
    aten.bitwise_or: PREDICATES[aten.logical_or],
    aten.bitwise_not: PREDICATES[aten.logical_not],
}
"""The same of true and false only."""
