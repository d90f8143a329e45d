"""Functions of torch that go element by element, each as a formula of one element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from graphdl.cpp.values import Value, call, cast, choose, equal, number, unequal
from graphdl.cpp.writer import Writer, arguments, common_type
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot

IGNORED = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking", "grad_input", "out", "generator"}
"""Arguments that say where and how the result lies, which the result's slot says already."""


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


def gelu(x: Value, approximate: str = "none") -> Value:
    """x Phi(x), or its approximation by tanh."""
    return 0.5 * x * (1 + (tanh(_inner(x)) if approximate == "tanh" else erf(x * math.sqrt(0.5))))


def _inner(x: Value) -> Value:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def gelu_backward(dy: Value, x: Value, approximate: str = "none") -> Value:
    """The derivative of gelu times dy."""
    if approximate == "tanh":
        t = tanh(_inner(x))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
    phi = math.sqrt(0.5 / math.pi) * exp(-0.5 * x * x)
    return dy * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * phi)


def elu(x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    """scale alpha (exp(input_scale x) - 1) where x < 0, else scale x."""
    return choose(x < 0, expm1(x * input_scale) * (alpha * scale), x * scale)


def elu_backward(dy: Value, alpha: float, scale: float, input_scale: float, is_result: bool, x: Value) -> Value:
    """The derivative of elu, from x or from y, times dy."""
    factor = input_scale * (x + alpha * scale) if is_result else input_scale * alpha * scale * exp(x * input_scale)
    return choose(x > 0, dy * scale, dy * factor)


def leaky_relu_backward(dy: Value, x: Value, slope: float, is_result: bool) -> Value:
    """dy where x > 0, else slope dy."""
    return choose(x > 0, dy, dy * slope)


def softplus(x: Value, beta: float = 1, threshold: float = 20) -> Value:
    """log(1 + exp(beta x)) / beta."""
    return choose(x * beta > threshold, x, log1p(exp(x * beta)) / beta)


def softplus_backward(dy: Value, x: Value, beta: float, threshold: float) -> Value:
    """dy sigmoid(beta x), as z / (z + 1) with z = exp(beta x)."""
    z = exp(x * beta)
    return choose(x * beta > threshold, dy, dy * z / (z + 1))


def silu_backward(dy: Value, x: Value) -> Value:
    """dy s (1 + x (1 - s)), s = sigmoid(x)."""
    s = sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def lerp(x: Value, y: Value, weight: Any) -> Value:
    """x + weight (y - x), counted from the nearer end."""
    near: Value = x + weight * (y - x)
    far: Value = y - (y - x) * (1 - weight)
    if isinstance(weight, Value):
        return choose(call("fabs", weight) < 0.5, near, far)
    return near if abs(weight) < 0.5 else far


def mish(x: Value) -> Value:
    """x tanh(log(1 + exp x))."""
    return x * tanh(log1p(exp(x)))


SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
MATHEMATICS = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin",
    "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "sqrt", "floor", "ceil", "trunc",
)  # fmt: skip

FORMULAS: dict[str, Callable[..., Any]] = {
    **{name: function(name) for name in MATHEMATICS},
    "round": function("nearbyint"),
    "abs": lambda x: call("fabs", x) if x.dtype.is_floating_point else choose(x < 0, -x, x),
    "add": add, "sub": sub, "div": div, "pow": power, "sigmoid": sigmoid, "gelu": gelu, "gelu_backward": gelu_backward,
    "mul": lambda x, y: x * y,
    "rsub": lambda x, y, alpha=1: sub(y, x, alpha),
    "neg": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / root(x),
    "square": lambda x: x * x,
    "sign": lambda x: choose(x > 0, number(1, x.dtype), choose(x < 0, number(-1, x.dtype), number(0, x.dtype))),
    "sgn": lambda x: FORMULAS["sign"](x),
    "relu": lambda x: choose(x < 0, 0, x),
    "leaky_relu": lambda x, slope=0.01: choose(x > 0, x, x * slope),
    "leaky_relu_backward": leaky_relu_backward,
    "threshold": lambda x, threshold, other: choose(x <= threshold, other, x),
    "threshold_backward": lambda dy, x, threshold: choose(x <= threshold, 0, dy),
    "sigmoid_backward": lambda dy, y: dy * (1 - y) * y,
    "tanh_backward": lambda dy, y: dy * (1 - y * y),
    "celu": lambda x, alpha=1: elu(x, alpha, 1, 1 / alpha), "selu": lambda x: elu(x, *SELU),
    "elu": elu, "elu_backward": elu_backward, "softplus": softplus, "softplus_backward": softplus_backward,
    "hardtanh": lambda x, low=-1, high=1: clamp(x, low, high),
    "hardtanh_backward": lambda dy, x, low, high: choose((x > low) & (x < high), dy, 0),
    "silu": lambda x: x * sigmoid(x),
    "silu_backward": silu_backward,
    "mish": mish,
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


def plain_name(call_: Call) -> tuple[str, bool]:
    """The function's name without the _ of its form in place, and whether it goes through lists of tensors."""
    name = call_.name.removeprefix("_foreach_")
    return name if name.endswith("__") else name.removesuffix("_"), call_.name.startswith("_foreach_")


def pointwise(writer: Writer, call_: Call) -> None:
    """Write a function that goes element by element."""
    name, lists = plain_name(call_)
    given = arguments(call_, writer)
    keywords = {argument.name for argument in call_.function._schema.arguments if argument.kwarg_only}
    results = [writer.slot(slot) for slot in call_.results if slot is not None]
    if not lists:
        return _element(writer, name, given, keywords, results[0])
    many = {key: each for key, each in given.items() if isinstance(each, (list, tuple))}
    targets = results or list(next(iter(many.values())))
    for k, target in enumerate(targets):
        _element(writer, name, given | {key: each[k] for key, each in many.items()}, keywords, target)


def _element(writer: Writer, name: str, given: dict[str, Any], keywords: set[str], target: Slot) -> None:
    """Write one application of a formula."""
    given = {key: each for key, each in given.items() if key not in IGNORED}
    compared = {key: each for key, each in given.items() if key not in ("condition", "mask")}
    common = common_type([each for each in compared.values() if isinstance(each, Slot)], _numbers(compared))
    compute = _computed(name, common, target.dtype)

    def value(key: str, argument: Any) -> Any:
        if isinstance(argument, Slot):
            found = writer.read(argument)
            return found if key in ("condition", "mask") or name in UNCHANGED else cast(found, compute)
        return number(argument, compute) if name in LOGIC else argument

    values = [value(key, each) for key, each in given.items() if key not in keywords]
    named = {key: each for key, each in given.items() if key in keywords}
    if name == "where" and not any(isinstance(each, Value) for each in values[1:]):
        values[1] = number(values[1], compute)
    writer.store(target, (LOGIC.get(name) or FORMULAS[name])(*values, **named))


def _numbers(given: dict[str, Any]) -> list[object]:
    return [each for key, each in given.items() if isinstance(each, (bool, int, float)) and key not in ("alpha",)]


def _computed(name: str, common: torch.dtype, result: torch.dtype) -> torch.dtype:
    """The type in which a formula is computed."""
    if name.startswith("logical"):
        return torch.bool
    if name == "bitwise_not" and common != torch.bool:
        raise CompileError("bits of integers have no form in C++ here")
    if not common.is_floating_point and (result.is_floating_point or (common == torch.bool and result != torch.bool)):
        return result
    return torch.int32 if common == torch.bool and name in ("add", "mul") else common
