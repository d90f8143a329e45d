from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import (
    Activation,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MSELoss,
    Network,
    RectifiedTanh,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    register,
)
from graphdl.errors import GraphDLError
from graphdl.optim import SGD
from tests.operators.case import Case
from tests.operators.checks import every_check

SHAPES = [(4,), (4, 3), (2, 3, 4), (2, 3, 2, 2)]


def cases(name, operator, function):
    return [Case(f"{name}-{len(shape)}d", operator, [shape], lambda p, x: function(x)) for shape in SHAPES]


CASES = [
    *cases("relu", ReLU(), torch.relu),
    *cases("leaky", LeakyReLU(), functional.leaky_relu),
    *cases("leaky-steep", LeakyReLU(0.3), nn.LeakyReLU(0.3)),
    *cases("leaky-negative", LeakyReLU(-1.5), nn.LeakyReLU(-1.5)),
    *cases("tanh", Tanh(), torch.tanh),
    *cases("rectified_tanh", RectifiedTanh(), lambda x: 0.5 * (1 + torch.tanh(x))),
    *cases("sigmoid", Sigmoid(), torch.sigmoid),
    *cases("softmax", Softmax(), lambda x: torch.softmax(x, -1)),
    *cases("log_softmax", LogSoftmax(), lambda x: torch.log_softmax(x, -1)),
    Case("softmax-image", Softmax(dim=1), [(2, 3, 2, 2)], lambda p, x: functional.softmax(x, 1)),
    Case("softmax-batch", Softmax(dim=0), [(4, 3)], lambda p, x: functional.softmax(x, 0)),
    Case("log_softmax-image", LogSoftmax(dim=1), [(2, 3, 2, 2)], lambda p, x: functional.log_softmax(x, 1)),
    Case("log_softmax-sequence", LogSoftmax(dim=-2), [(2, 3, 4)], lambda p, x: functional.log_softmax(x, -2)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


KINKED = [(ReLU(), nn.ReLU()), (LeakyReLU(), nn.LeakyReLU()), (LeakyReLU(0.3), nn.LeakyReLU(0.3))]


@pytest.mark.parametrize(("operator", "module"), KINKED, ids=["relu", "leaky", "steep"])
def test_the_gradient_at_a_kink_is_torch_s(operator, module):
    x = torch.tensor([-1.0, -0.0, 0.0, 1.0, float("inf"), float("-inf")], requires_grad=True)
    dy = torch.tensor([2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    expected = module(x)
    expected.backward(dy)
    y, saved = operator.forward({}, x.detach(), training=True)
    assert torch.equal(y, expected.detach())
    assert torch.equal(operator.backward({}, saved, dy)[0][0], x.grad)


EXTREME = [Tanh(), RectifiedTanh(), Sigmoid(), Softmax(), LogSoftmax(), ReLU(), LeakyReLU()]


@pytest.mark.parametrize("operator", EXTREME, ids=lambda operator: type(operator).__name__)
def test_extreme_inputs_stay_finite(operator):
    x = torch.tensor([[1000.0, -1000.0, 0.0], [1e30, -1e30, 1.0]])
    y, saved = operator.forward({}, x, training=True)
    ((dx,), _) = operator.backward({}, saved, torch.tensor([[0.3, -2.0, 1.0]]).expand(2, 3))
    assert torch.isfinite(y).all()
    assert torch.isfinite(dx).all()


def test_rectified_tanh_fills_the_unit_interval():
    y, _ = RectifiedTanh().forward({}, torch.tensor([-50.0, 0.0, 50.0]), training=False)
    assert y.tolist() == [0.0, 0.5, 1.0]


def test_arguments_are_torch_s():
    assert LeakyReLU().negative_slope == nn.LeakyReLU().negative_slope
    assert next(iter(inspect.signature(LeakyReLU).parameters)) == "negative_slope"
    for operator, module in [(Softmax, nn.Softmax), (LogSoftmax, nn.LogSoftmax)]:
        assert [*inspect.signature(operator).parameters] == [*inspect.signature(module).parameters] == ["dim"]
    x = torch.randn(4, 3)
    for operator in (Softmax, LogSoftmax):
        default, _ = operator().forward({}, x, training=True)
        assert torch.equal(default, operator(dim=1).forward({}, x, training=True)[0])


def test_descriptions_name_what_differs_from_the_default():
    assert ReLU().describe() == LeakyReLU().describe() == Softmax().describe() == ""
    assert LeakyReLU(0.2).describe() == "negative_slope 0.2"
    assert LogSoftmax(dim=1).describe() == "dim 1"


@pytest.mark.parametrize("operator", [Softmax(dim=2), LogSoftmax(dim=2)])
def test_an_axis_that_is_not_there_is_refused_at_the_node(operator):
    net = Network({"choice": operator}, {"x": ["choice"]})
    with pytest.raises(GraphDLError, match=r"choice \(\w+\) .*\(4, 3\) float32 from the input x"):
        net.forward(torch.zeros(4, 3))


@register
class Softsign(Activation):
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
    Case("softsign", Softsign(), [(4, 3)], lambda p, x: torch.nn.functional.softsign(x)),
    Case("swap", Swap(), [(4, 3)], lambda p, x: 1 - x),
], ids=str)  # fmt: skip
def test_a_custom_activation_is_its_value_and_its_gradient(check, case):
    check(case)


def test_an_activation_that_keeps_its_input_never_writes_over_it():
    x = torch.randn(4, 3)
    before = x.clone()
    y, kept = Softsign().forward({}, x, training=True, out=x)
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
    operators = {"fc": Linear(3, 4), "sign": Softsign(), "out": Linear(4, 2), "loss": MSELoss()}
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
