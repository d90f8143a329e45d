"""Formulas of one element in C++ where their arguments are infinite, not a number, or 0 with either sign."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tests.cpp.twins import Twin
from tests.twins import needs_compiler

pytestmark = needs_compiler
aten = torch.ops.aten
inf, nan = float("inf"), float("nan")
SPECIAL = [inf, -inf, nan, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 30.0, -30.0]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}
Function = Callable[..., Tensor]

OF_X: dict[str, Function] = {
    **{name: getattr(torch, name) for name in (
        "exp", "exp2", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "erfc", "floor",
        "ceil", "trunc", "round", "abs", "neg", "sign", "sgn", "relu", "sigmoid", "square", "isnan", "isfinite",
        "isinf", "logical_not", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "asin", "acos", "atanh",
        "acosh",
    )},
    **{f"to the power {k}": lambda x, k=k: x.pow(k) for k in (0, 1, 2, 3, 4, 0.5, -0.5, -1, -2, -3, inf, -inf, nan)},
    **{f"{k} to the power": lambda x, k=k: torch.pow(k, x) for k in (0.0, 1.0, 2.0, -1.0, inf, nan)},
    **{f"clamp {low} {high}": lambda x, low=low, high=high: x.clamp(low, high)
       for low in (None, -1.0, -0.0, 0.0, 2.0, -inf, nan) for high in (None, 1.0, -0.0, 0.0, inf, nan)
       if (low, high) != (None, None)},
    "gelu": F.gelu, "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"), "elu": lambda x: F.elu(x, 0.7),
    "elu by inf": lambda x: F.elu(x, inf), "selu": F.selu, "celu": lambda x: F.celu(x, 0.8), "hardtanh": F.hardtanh,
    "relu6": F.relu6, "silu": F.silu, "softplus": F.softplus, "softplus of 2 x": lambda x: F.softplus(x, 2, 1),
    "mish": F.mish, "leaky relu": lambda x: F.leaky_relu(x, 0.2), "leaky relu by 0": lambda x: F.leaky_relu(x, 0.0),
    "log sigmoid": F.logsigmoid, "hardshrink": F.hardshrink,
    **{f"{f.__name__} at {k}": lambda x, f=f, k=k: f(x + k / 3)
       for f in (F.hardsigmoid, F.hardswish) for k in (3, -3, 0)},
    "softshrink": F.softshrink, "softshrink by 0": lambda x: F.softshrink(x, 0.0), "softsign": F.softsign,
    "hardshrink by -1": lambda x: F.hardshrink(x, -1.0), "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.1, 5.0), "x + 0": lambda x: x + 0, "x * 0": lambda x: x * 0,
    "0 - x": lambda x: 0 - x, "x + nan": lambda x: x + nan, "x * inf": lambda x: x * inf, "x / 0": lambda x: x / 0.0,
    "lerp": lambda x: x.lerp(x + 1, 0.3), "masked fill": lambda x: x.masked_fill(x > 0, nan),
}  # fmt: skip

OF_TWO: dict[str, Function] = {
    **{name: getattr(torch, name) for name in (
        "add", "sub", "mul", "div", "maximum", "minimum", "pow", "gt", "lt", "ge", "le", "eq", "ne", "logical_and",
        "logical_or", "logical_xor",
    )},
    "lerp": lambda x, y: x.lerp(y, 0.3), "lerp from y": lambda x, y: x.lerp(y, 0.8),
    "where": lambda x, y: x.where(x > y, y), "addcdiv": lambda x, y: torch.addcdiv(x, y, y, value=0.5),
    "addcmul": lambda x, y: torch.addcmul(x, y, y, value=0.5),
    "clamp from y": lambda x, y: x.clamp(min=y), "clamp up to y": lambda x, y: x.clamp(max=y),
    "gelu": aten.gelu_backward, "gelu by tanh": lambda dy, x: aten.gelu_backward(dy, x, approximate="tanh"),
    "elu": lambda dy, x: aten.elu_backward(dy, 0.7, 1.0, 1.0, False, x),
    "elu from y": lambda dy, y: aten.elu_backward(dy, 0.7, 1.0, 1.0, True, y),
    "selu": lambda dy, x: aten.elu_backward(dy, 1.67, 1.05, 1.0, False, x),
    "celu": lambda dy, x: aten.elu_backward(dy, 0.8, 1.0, 1.25, False, x),
    "hardtanh": lambda dy, x: aten.hardtanh_backward(dy, x, -1, 1), "silu": aten.silu_backward,
    "softplus": lambda dy, x: aten.softplus_backward(dy, x, 1, 20),
    "leaky relu": lambda dy, x: aten.leaky_relu_backward(dy, x, 0.2, False),
    "threshold": lambda dy, x: aten.threshold_backward(dy, x, 0.0), "tanh": aten.tanh_backward,
    "sigmoid": aten.sigmoid_backward, "mish": aten.mish_backward, "prelu": aten._prelu_kernel,
    "log sigmoid": lambda dy, x: aten.log_sigmoid_backward(dy, x, torch.exp(-x.abs())),
    **{f"{name} at {k}": lambda dy, x, name=name, k=k: getattr(aten, f"{name}_backward")(dy, x + k / 3)
       for name in ("hardsigmoid", "hardswish") for k in (3, -3, 0)},
    "hardshrink": lambda dy, x: aten.hardshrink_backward(dy, x, 0.5),
    "softshrink": lambda dy, x: aten.softshrink_backward(dy, x, 0.5),
    "prelu's x": lambda dy, x: aten._prelu_kernel_backward(dy, x, x)[0],
    "prelu's slope": lambda dy, x: aten._prelu_kernel_backward(dy, x, x)[1],
    "glu": lambda a, b: F.glu(torch.stack([a, b]), 0)[0],
    "glu's a": lambda dy, b: aten.glu_backward(dy[None], torch.stack([dy, b]), 0)[0],
    "glu's b": lambda dy, b: aten.glu_backward(dy[None], torch.stack([b, dy]), 0)[1],
}  # fmt: skip


def differ(one: Tensor, other: Tensor) -> Tensor:
    """Where two tensors differ, in the sign of 0 too."""
    if one.dtype == torch.bool:
        return one != other
    close = (one - other).abs() <= TOLERANCE[one.dtype] * other.abs().clamp(min=1)
    same = torch.where(one == other, one.signbit() == other.signbit(), close & one.isfinite() & other.isfinite())
    return ~(same | (one.isnan() & other.isnan()))


def compiled(functions: dict[str, Function], *tensors: Tensor) -> dict[str, Tensor]:
    """The results of C++ by name."""
    _, found = Twin(lambda *given: tuple(function(*given) for function in functions.values()), *tensors).run()
    return dict(zip(functions, (each[0] for each in found), strict=True))


def one_by_one(function: Function, *tensors: Tensor) -> Tensor:
    """The results of torch's code for single elements, which sometimes differs from that for vectors."""
    return torch.cat([function(*elements) for elements in zip(*(each.split(1) for each in tensors), strict=True)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("functions", [OF_X, OF_TWO], ids=["of-x", "of-two"])
def test_special_values_are_those_of_torch(functions, dtype):
    x = torch.tensor(SPECIAL, dtype=dtype)
    tensors = (x,) if functions is OF_X else tuple(torch.cartesian_prod(x, x).T.contiguous())
    wrong = {}
    for name, found in compiled(functions, *tensors).items():
        expected, single = functions[name](*tensors), one_by_one(functions[name], *tensors)
        where = differ(found, expected) & ~differ(single, expected)
        if where.any():
            given = [each[where].tolist() for each in tensors]
            wrong[name] = *given, found[where].tolist(), expected[where].tolist()
    assert not wrong


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_where_torch_disagrees_with_itself(dtype):
    """The kernels for vectors and for single elements differ: C++ has the result that is right."""
    given = torch.tensor([inf, nan], dtype=dtype)
    dy = torch.ones(2, dtype=dtype)
    assert compiled({"gelu": F.gelu}, given)["gelu"].tolist()[0] == inf
    slopes = compiled({name: OF_TWO[name] for name in ("elu", "elu from y", "hardtanh")}, dy, given)
    assert slopes["elu"][1].isnan()
    assert slopes["elu from y"][1].isnan()
    assert slopes["hardtanh"].tolist() == [0.0, 0.0]
