from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Activation,
    LeakyReLU,
    Linear,
    LogSigmoid,
    Mish,
    MSELoss,
    Network,
    RectifiedTanh,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
    fit,
    register,
)
from graphdl.errors import OperatorError, SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, normal
from tests.operators.checks import every_check

SHAPES = [(4,), (4, 3), (2, 3, 4), (2, 3, 2, 2)]


def cases(name, operator, function):
    return [Case(f"{name}-{len(shape)}d", operator, [shape], lambda p, x: function(x)) for shape in SHAPES]


def wide(generator):
    return 3 * normal((2, 3, 2, 2), generator)


def case(name, operator, function):
    return Case(name, operator, [wide], lambda p, x: function(x))


def celu(x, alpha):
    """In torch's own gradient, 1 / alpha is rounded to single precision."""
    return torch.where(x > 0, x, alpha * torch.expm1(x / alpha))


def glu(name, dim, shape, **settings):
    return Case(name, GLU(dim), [shape], lambda p, x: functional.glu(x, dim), **settings)


CASES = [
    *cases("tanh", Tanh(), torch.tanh),
    case("rectified_tanh", RectifiedTanh(), lambda x: 0.5 * (1 + torch.tanh(x))),
    case("sigmoid", Sigmoid(), torch.sigmoid),
    case("tanhshrink", Tanhshrink(), functional.tanhshrink),
    case("log_sigmoid", LogSigmoid(), functional.logsigmoid),
    case("softsign", Softsign(), functional.softsign),
    case("softplus", Softplus(), functional.softplus),
    case("softplus-beta", Softplus(2, 1.5), nn.Softplus(2, 1.5)),
    case("softplus-negative", Softplus(-0.5), nn.Softplus(-0.5)),
    case("elu", ELU(), functional.elu),
    case("elu-alpha", ELU(0.3), nn.ELU(0.3)),
    case("elu-0", ELU(0), nn.ELU(0)),
    case("elu-negative", ELU(-0.7), nn.ELU(-0.7)),
    case("celu", CELU(), functional.celu),
    case("celu-alpha", CELU(2), nn.CELU(2)),
    Case("celu-negative", CELU(-0.7), [(4, 3)], lambda p, x: celu(x, -0.7)),
    case("selu", SELU(), functional.selu),
    case("gelu", GELU(), functional.gelu),
    case("gelu-tanh", GELU("tanh"), nn.GELU("tanh")),
    case("silu", SiLU(), functional.silu),
    case("mish", Mish(), functional.mish),
    glu("glu", -1, (3, 4)),
    glu("glu-channels", 1, (2, 4, 3, 2)),
    glu("glu-vector", 0, (4,), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


SMOOTH = [
    (Tanh(), nn.Tanh()),
    (Sigmoid(), nn.Sigmoid()),
    (Tanhshrink(), nn.Tanhshrink()),
    (LogSigmoid(), nn.LogSigmoid()),
    (Softsign(), nn.Softsign()),
    (Softplus(), nn.Softplus()),
    (Softplus(1.0, 0.5), nn.Softplus(1.0, 0.5)),
    (ELU(), nn.ELU()),
    (ELU(0.3), nn.ELU(0.3)),
    (CELU(0.3), nn.CELU(0.3)),
    (SELU(), nn.SELU()),
    (GELU(), nn.GELU()),
    (SiLU(), nn.SiLU()),
    (Mish(), nn.Mish()),
]
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1e-30, -1e-30, 20.0, 20.0001, -20.0, 1000.0, -1000.0, 1e30, -1e30]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize(("operator", "module"), SMOOTH, ids=lambda each: repr(each))
def test_extreme_inputs_stay_finite_and_are_as_in_torch(operator, module, dtype):
    x = torch.tensor([*SPECIAL, float("inf"), float("-inf"), float("nan")], dtype=dtype, requires_grad=True)
    expected = module(x)
    expected.sum().backward()
    y, saved = operator.forward({}, x.detach(), training=True)
    ((dx,), _) = operator.backward({}, saved, torch.ones_like(y))
    finite = slice(len(SPECIAL))
    torch.testing.assert_close(y, expected.detach(), equal_nan=True)
    torch.testing.assert_close(dx[finite], x.grad[finite])
    assert y[finite].isfinite().all()
    assert dx[finite].isfinite().all()
    assert y[-1].isnan()


def test_gelu_by_tanh_stays_finite_as_far_as_torch():
    x = torch.tensor([1000.0, -1000.0, 1e18, -1e18])
    assert GELU("tanh").forward({}, x, training=True)[0].tolist() == pytest.approx([1000, 0, 1e18, 0])
    assert GELU("tanh").gradient(x, torch.ones(4)).tolist() == [1, 0, 1, 0]


def test_rectified_tanh_fills_the_unit_interval():
    y, _ = RectifiedTanh().forward({}, torch.tensor([-1000.0, 0.0, 1000.0]), training=False)
    assert y.tolist() == [0.0, 0.5, 1.0]


ARGUMENTS = [
    (CELU, nn.CELU, ["inplace"]),
    (ELU, nn.ELU, ["inplace"]),
    (GELU, nn.GELU, []),
    (GLU, nn.GLU, []),
    (LogSigmoid, nn.LogSigmoid, ["args", "kwargs"]),
    (Mish, nn.Mish, ["inplace"]),
    (SELU, nn.SELU, ["inplace"]),
    (SiLU, nn.SiLU, ["inplace"]),
    (Softplus, nn.Softplus, []),
    (Softsign, nn.Softsign, ["args", "kwargs"]),
    (Tanhshrink, nn.Tanhshrink, ["args", "kwargs"]),
]


@pytest.mark.parametrize(("operator", "module", "without"), ARGUMENTS, ids=lambda each: getattr(each, "__name__", ""))
def test_arguments_are_torch_s(operator, module, without):
    ours, theirs = (inspect.signature(each).parameters for each in (operator, module))
    assert {name: each.default for name, each in ours.items()} == {
        name: each.default for name, each in theirs.items() if name not in without
    }
    assert [*ours, *without] == [*theirs]


REFUSED = [
    (lambda: Softplus(0), "Softplus: beta must be a finite number other than 0, not 0"),
    (lambda: CELU(0.0), "CELU: alpha must be a finite number other than 0, not 0.0"),
    (lambda: ELU("1"), "ELU: alpha must be a finite number, not '1'"),
    (lambda: GELU("tan"), "GELU: approximate must be 'none' or 'tanh', not 'tan'. Did you mean 'tanh'?"),
    (lambda: GLU(None), "GLU: dim must be a whole number, not None"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_settings_are_checked(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(("dim", "shape", "message"), [
    (-1, (4, 3), r"the axis -1 has the size 3 and cannot be halved.*Expected an input whose axis -1 has an even size"),
    (2, (4, 2), r"\(4, 2\) float32 from the input x\. Expected an input whose axis 2 has an even size"),
])  # fmt: skip
def test_glu_halves_its_axis(dim, shape, message):
    net = Network({"gate": GLU(dim)}, {"x": ["gate"]})
    with pytest.raises(ShapeError, match=r"gate \(GLU\) cannot take its inputs.*" + message):
        net.forward(torch.zeros(shape))


def test_integers_are_refused_at_the_node():
    net = Network({"act": GELU()}, {"x": ["act"]})
    with pytest.raises(OperatorError, match=r"act \(GELU\) .*int64 from the input x.*Give floating-point inputs"):
        net.forward(torch.ones(4, 3, dtype=torch.int64))


def test_what_is_kept_may_be_written_over_the_input():
    x = torch.randn(4, 3)
    for operator in (Tanh(), Sigmoid(), RectifiedTanh(), LogSigmoid(), Softsign(), ELU(), CELU(), SELU()):
        y, kept = operator.forward({}, given := x.clone(), training=True, out=given)
        assert y is kept is given
        assert y.equal(operator.forward({}, x, training=True)[0])
    for operator in (Softplus(), GELU(), SiLU(), Mish(), ELU(-1.0), CELU(-1.0)):
        assert operator.forward({}, x, training=True, out=x)[1] is x
    y, kept = Tanhshrink().forward({}, given := x.clone(), training=True, out=given)
    assert y is given
    assert kept.equal(torch.tanh(x))


@register
class SoftsignForTest(Activation):
    """y = x / (1 + |x|); dx = dy / (1 + |x|)²."""

    keeps = "x"

    def value(self, x, out=None):
        return torch.div(x, 1 + x.abs(), out=out)

    def gradient(self, x, dy):
        return dy / (1 + x.abs()) ** 2


@register
class Swap(Activation):
    """y = 1 - x; dx = -dy. The kept y is not used."""

    def value(self, x, out=None):
        return 1 - x

    def gradient(self, y, dy):
        return -dy


@every_check
@pytest.mark.parametrize("case", [
    Case("softsign", SoftsignForTest(), [(4, 3)], lambda p, x: torch.nn.functional.softsign(x)),
    Case("swap", Swap(), [(4, 3)], lambda p, x: 1 - x),
], ids=str)  # fmt: skip
def test_a_custom_activation_is_its_value_and_its_gradient(check, case):
    check(case)


def test_an_activation_that_keeps_its_input_never_writes_over_it():
    x = torch.randn(4, 3)
    before = x.clone()
    y, kept = SoftsignForTest().forward({}, x, training=True, out=x)
    assert kept is x
    assert x.equal(before)
    assert y.equal(torch.nn.functional.softsign(before))
    y, kept = ReLU().forward({}, x, training=True, out=x)
    assert y is x
    assert LeakyReLU(-0.5).keeps == "x"
    assert LeakyReLU(0.5).keeps == LeakyReLU().keeps == "y"
    assert LeakyReLU(-0.5).forward({}, before, training=True, out=before)[1] is before


def test_a_custom_activation_trains():
    edges = {"x": ["fc"], "fc": ["sign"], "sign": ["out"], "out": ["loss"], "y": ["loss"]}
    operators = {"fc": Linear(3, 4), "sign": SoftsignForTest(), "out": Linear(4, 2), "loss": MSELoss()}
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    x, y = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)
    p = {name: tensor.clone().requires_grad_() for name, tensor in net.parameters.items()}
    fit(net, {"x": x, "y": y}, optimizer=SGD(lr=0.1), epochs=6, batch_size=8, shuffle=False, progress=False)
    for _ in range(6):
        h = torch.nn.functional.softsign(torch.nn.functional.linear(x, p["fc.weight"], p["fc.bias"]))
        out = torch.nn.functional.linear(h, p["out.weight"], p["out.bias"])
        gradients = torch.autograd.grad((out - y).square().mean(), p.values())
        p = {name: (w - 0.1 * g).detach().requires_grad_() for (name, w), g in zip(p.items(), gradients, strict=True)}
    for name, tensor in net.parameters.items():
        torch.testing.assert_close(tensor, p[name].detach(), rtol=1e-10, atol=1e-12)


def test_the_guide_shows_an_activation_in_twelve_lines_and_one_line_of_test():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    shown = re.search(r"\n(@register\nclass (\w+)\(Activation\):\n.*?)\n```\n.*?```python\n(.*?)```", guide, re.DOTALL)
    assert len(shown[1].splitlines()) <= 12
    assert re.fullmatch(rf"check_gradients\({shown[2]}\(.*\), .*\)\n", shown[3])
