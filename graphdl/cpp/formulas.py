"""Functions of torch that go element by element, each as a formula of one element; activations stand in a module."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from graphdl.cpp.values import Value, call, choose, equal, number, unequal
from graphdl.errors import CompileError


def function(name: str) -> Callable[[Value], Value]:
    """A function of step.h."""
    return lambda x: call(name, x)


def add(x: Any, y: Any, alpha: float = 1) -> Any:
    """x + alpha y."""
    return x + (y if alpha == 1 else y * alpha)


def sub(x: Any, y: Any, alpha: float = 1) -> Any:
    """x - alpha y."""
    return x - (y if alpha == 1 else y * alpha)


def div(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    """x / y."""
    if rounding_mode == "floor" or (rounding_mode and not (x / y).dtype.is_floating_point):
        raise CompileError("a division of integers, or one that rounds down, has no form in C++ here")
    return x / y if rounding_mode is None else call(rounding_mode, x / y)


def power(x: Any, exponent: Any) -> Any:
    """x to a power."""
    if isinstance(exponent, Value):
        base = x if isinstance(x, Value) else number(x, exponent.dtype)
        if not (base.dtype.is_floating_point and exponent.dtype.is_floating_point):
            raise CompileError("a power of integers has no form in C++ here")
        return call("pow", base, exponent)
    if exponent in (0, 1, 2, 3):
        return (number(1, x.dtype), x, x * x, x * x * x)[int(exponent)]
    if not x.dtype.is_floating_point:
        raise CompileError("a power of integers has no form in C++ here")
    if exponent in (0.5, -0.5, -1, -2):
        base = root(x) if exponent in (0.5, -0.5) else x if exponent == -1 else x * x
        return base if exponent == 0.5 else 1 / base
    return call("pow", x, number(exponent, x.dtype))


root = function("sqrt")
exp, expm1, log, log1p, tanh, erf = map(function, ("exp", "expm1", "log", "log1p", "tanh", "erf"))


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + exp(-x))


def nan(x: Value) -> Value:
    """Whether it is not a number."""
    return unequal(x, x)


def larger(x: Any, y: Any) -> Value:
    """The larger one; not a number if one is not."""
    x, y = (x, y) if isinstance(x, Value) else (number(x, y.dtype), y)
    return choose((x > y) | nan(x), x, y)


def smaller(x: Value, y: Any) -> Value:
    """The smaller one; not a number if one is not."""
    return choose((x < y) | nan(x), x, y)


def clamp(x: Value, low: Any = None, high: Any = None) -> Value:
    """x within bounds; not a number if x or a bound is not."""
    x = x if low is None else choose(_beyond(x < low, low), low, x)
    return x if high is None else choose(_beyond(x > high, high), high, x)


def _beyond(beyond: Value, bound: Any) -> Value:
    """Whether x is beyond a bound, or the bound is not a number."""
    if isinstance(bound, Value):
        return beyond | nan(bound)
    return beyond if bound == bound else number(1, torch.bool)


def lerp(x: Value, y: Value, weight: Any) -> Value:
    """x + weight (y - x), counted from the nearer end."""
    near: Value = x + weight * (y - x)
    far: Value = y - (y - x) * (1 - weight)
    if isinstance(weight, Value):
        return choose(call("fabs", weight) < 0.5, near, far)
    return near if abs(weight) < 0.5 else far


MATHEMATICS = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin",
    "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "sqrt", "floor", "ceil", "trunc",
)  # fmt: skip

FORMULAS: dict[str, Callable[..., Any]] = {
    **{name: function(name) for name in MATHEMATICS},
    "round": function("nearbyint"),
    "abs": lambda x: call("fabs", x) if x.dtype.is_floating_point else choose(x < 0, -x, x),
    "add": add, "sub": sub, "div": div, "pow": power, "sigmoid": sigmoid,
    "mul": lambda x, y: x * y,
    "rsub": lambda x, y, alpha=1: sub(y, x, alpha),
    "neg": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / root(x),
    "square": lambda x: x * x,
    "sign": lambda x: choose(x > 0, number(1, x.dtype), choose(x < 0, number(-1, x.dtype), number(0, x.dtype))),
    "sgn": lambda x: FORMULAS["sign"](x),
    "clamp": clamp, "clamp_min": clamp, "lerp": lerp,
    "clamp_max": lambda x, high: clamp(x, None, high),
    "maximum": larger, "minimum": smaller,
    "where": choose,
    "masked_fill": lambda x, mask, other: choose(mask, other, x),
    "addcmul": lambda x, y, z, value=1: add(x, y * z, value),
    "addcdiv": lambda x, y, z, value=1: add(x, (y if value == 1 else y * value) / z),
    "eq": equal, "ne": unequal,
    "lt": lambda x, y: x < y, "le": lambda x, y: x <= y, "gt": lambda x, y: x > y, "ge": lambda x, y: x >= y,
    "isnan": nan,
    "isinf": lambda x: equal(call("fabs", x), math.inf),
    "isfinite": lambda x: call("fabs", x) < math.inf,
    "clone": lambda x: x, "_to_copy": lambda x: x, "lift_fresh_copy": lambda x: x, "contiguous": lambda x: x,
    "copy": lambda x, source: source,
    "fill": lambda x, value: value if isinstance(value, Value) else number(value, x.dtype),
    "zero": lambda x: number(0, x.dtype),
}  # fmt: skip
"""The function's name, without the _ of its form in place -> the formula."""

LOGIC: dict[str, Callable[..., Value]] = {
    "logical_and": lambda x, y: x & y, "bitwise_and": lambda x, y: x & y, "__and__": lambda x, y: x & y,
    "logical_or": lambda x, y: x | y, "bitwise_or": lambda x, y: x | y, "__or__": lambda x, y: x | y,
    "logical_xor": lambda x, y: x ^ y, "bitwise_xor": lambda x, y: x ^ y, "__xor__": lambda x, y: x ^ y,
    "logical_not": lambda x: ~x, "bitwise_not": lambda x: ~x,
}  # fmt: skip
"""Functions of true and false."""

UNCHANGED = {"clone", "_to_copy", "lift_fresh_copy", "contiguous", "copy"}
"""Functions whose argument keeps its type: the result is converted."""
