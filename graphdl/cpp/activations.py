"""Activations and their slopes, each as a formula of one element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from graphdl.cpp.formulas import clamp, erf, exp, expm1, log1p, sigmoid, tanh
from graphdl.cpp.kernels import results
from graphdl.cpp.moves import section
from graphdl.cpp.values import Value, call, choose
from graphdl.cpp.writer import Writer, arguments
from graphdl.execution.tape import Call, Slot

SIXTH = 0.1666666716337204
SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


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


def mish(x: Value) -> Value:
    """x tanh(log(1 + exp x))."""
    return x * tanh(log1p(exp(x)))


def mish_backward(dy: Value, x: Value) -> Value:
    """dy (t + x s (1 - t²)), t = tanh(log(1 + exp x)) and s = sigmoid(x)."""
    t = tanh(log1p(exp(x)))
    return dy * (t + x * sigmoid(x) * (1 - t * t))


def log_sigmoid(x: Value) -> tuple[Value, Value]:
    """log sigmoid(x), and exp(-|x|) for its slope."""
    z = exp(-call("fabs", x))
    return choose(x > 0, 0, x) - log1p(z), z


def log_sigmoid_backward(dy: Value, x: Value, z: Value) -> Value:
    """dy sigmoid(-x), from x and z = exp(-|x|)."""
    share = z / (1 + z)
    return dy * choose(x < 0, 1 - share, share)


def hardsigmoid_backward(dy: Value, x: Value) -> Value:
    """dy / 6 between -3 and 3, else 0; as in torch, 1 / 6 is rounded to single precision in both types."""
    return choose((x > -3) & (x < 3), dy * SIXTH, 0)


def between(x: Value, low: float, high: float) -> Value:
    """Whether x is not beyond the bounds; not a number is."""
    return (x >= low) & (x <= high)


def softshrink(x: Value, size: float = 0.5) -> Value:
    """x moved toward 0 by a size, 0 if it is smaller."""
    return choose(x > size, x - size, choose(x < -size, x + size, x * 0))


def hardswish_backward(dy: Value, x: Value) -> Value:
    """dy (2 x + 3) / 6 between -3 and 3, 0 below, dy above."""
    return choose(x <= -3, 0, choose(x < 3, dy * (x / 3 + 0.5), dy))


def prelu_backward(dy: Value, x: Value, slope: Value) -> tuple[Value, Value]:
    """The gradients of x and of its slope."""
    return choose(x > 0, dy, dy * slope), choose(x > 0, 0, x * dy)


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda x: choose(x < 0, 0, x),
    "leaky_relu": lambda x, slope=0.01: choose(x > 0, x, x * slope),
    "leaky_relu_backward": leaky_relu_backward,
    "_prelu_kernel": lambda x, slope: choose(x > 0, x, x * slope), "_prelu_kernel_backward": prelu_backward,
    "threshold": lambda x, threshold, other: choose(x <= threshold, other, x),
    "threshold_backward": lambda dy, x, threshold: choose(x <= threshold, 0, dy),
    "sigmoid_backward": lambda dy, y: dy * (1 - y) * y,
    "log_sigmoid_forward": log_sigmoid, "log_sigmoid_backward": log_sigmoid_backward,
    "tanh_backward": lambda dy, y: dy * (1 - y * y),
    "celu": lambda x, alpha=1: elu(x, alpha, 1, 1 / alpha), "selu": lambda x: elu(x, *SELU),
    "elu": elu, "elu_backward": elu_backward, "softplus": softplus, "softplus_backward": softplus_backward,
    "hardtanh": lambda x, low=-1, high=1: clamp(x, low, high),
    "hardtanh_backward": lambda dy, x, low, high: choose((x > low) & (x < high), dy, 0),
    "hardsigmoid": lambda x: clamp(x + 3, 0, 6) / 6,
    "hardsigmoid_backward": hardsigmoid_backward,
    "hardswish": lambda x: x * clamp(x + 3, 0, 6) / 6, "hardswish_backward": hardswish_backward,
    "hardshrink": lambda x, size=0.5: choose(between(x, -size, size), 0, x),
    "hardshrink_backward": lambda dy, x, size: choose(between(x, -size, size), 0, dy),
    "softshrink": softshrink,
    "softshrink_backward": lambda dy, x, size: choose(between(x, -size, size), 0, dy),
    "gelu": gelu, "gelu_backward": gelu_backward,
    "silu": lambda x: x * sigmoid(x), "silu_backward": silu_backward, "mish": mish, "mish_backward": mish_backward,
}  # fmt: skip
"""The function's name, without the _ of its form in place -> the formula."""


def halves(x: Slot, dim: int) -> tuple[Slot, Slot]:
    """The two halves along an axis."""
    axis = dim % len(x.shape)
    size = x.shape[axis] // 2
    return section(x, axis, 0, size), section(x, axis, size, size)


def glu(writer: Writer, made: Call) -> None:
    """a sigmoid(b) of the halves a and b."""
    given, (y,) = arguments(made, writer), results(writer, made)
    a, b = (writer.read(half) for half in halves(given["self"], given["dim"]))
    writer.store(y, a * sigmoid(b))


def glu_backward(writer: Writer, made: Call) -> None:
    """dy sigmoid(b) for a, dy a s (1 - s) with s = sigmoid(b) for b."""
    given, (dx,) = arguments(made, writer), results(writer, made)
    a, b = (writer.read(half) for half in halves(given["self"], given["dim"]))
    da, db = halves(dx, given["dim"])
    dy, s = writer.read(given["grad_output"]), sigmoid(b)
    writer.store(da, dy * s)
    writer.store(db, dy * a * s * (1 - s))


GATES: dict[str, Callable[[Writer, Call], None]] = {"glu": glu, "glu_backward": glu_backward}
