from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import (
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    Network,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Softshrink,
    Threshold,
)
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, normal
from tests.operators.checks import every_check

SHAPES = [(4,), (4, 3), (2, 3, 4), (2, 3, 2, 2)]


def cases(name, operator, function):
    return [Case(f"{name}-{len(shape)}d", operator, [shape], lambda p, x: function(x)) for shape in SHAPES]


def wide(generator):
    """Numbers on all sides of the kinks, most of which lie between -3 and 6."""
    return 4 * normal((2, 3, 2, 2), generator) + 1


def case(name, operator, function):
    return Case(name, operator, [wide], lambda p, x: function(x))


def rrelu(p, x, drawn=None):
    return torch.where(x > 0, x, x * (11 / 48 if drawn is None else drawn))


CASES = [
    *cases("relu", ReLU(), torch.relu),
    *cases("leaky", LeakyReLU(), functional.leaky_relu),
    case("leaky-steep", LeakyReLU(0.3), nn.LeakyReLU(0.3)),
    case("leaky-negative", LeakyReLU(-1.5), nn.LeakyReLU(-1.5)),
    case("relu6", ReLU6(), functional.relu6),
    case("threshold", Threshold(0.4, -2.0), nn.Threshold(0.4, -2.0)),
    case("threshold-above", Threshold(0.4, 2), nn.Threshold(0.4, 2)),
    case("hardtanh", Hardtanh(), functional.hardtanh),
    case("hardtanh-bounds", Hardtanh(-0.5, 3), nn.Hardtanh(-0.5, 3)),
    case("hardsigmoid", Hardsigmoid(), functional.hardsigmoid),
    case("hardswish", Hardswish(), functional.hardswish),
    case("hardshrink", Hardshrink(), functional.hardshrink),
    case("hardshrink-lambd", Hardshrink(2), nn.Hardshrink(2)),
    case("hardshrink-negative", Hardshrink(-1.0), nn.Hardshrink(-1.0)),
    case("softshrink", Softshrink(), functional.softshrink),
    case("softshrink-lambd", Softshrink(2), nn.Softshrink(2)),
    case("softshrink-0", Softshrink(0), nn.Softshrink(0)),
    Case("prelu", PReLU(), [(4, 3)], lambda p, x: functional.prelu(x, p["weight"])),
    Case("prelu-vector", PReLU(init=0.1), [(5,)], lambda p, x: functional.prelu(x, p["weight"])),
    Case("prelu-channels", PReLU(3), [(2, 3, 2, 2)], lambda p, x: functional.prelu(x, p["weight"])),
    Case("rrelu", RReLU(), [wide], rrelu),
    Case("rrelu-bounds", RReLU(-0.5, 0.25), [(4, 3)], rrelu),
    Case("rrelu-evaluated", RReLU(), [(4, 3)], rrelu, training=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


SMALL = torch.finfo(torch.float32).tiny
KINKS = [0.0, -0.0, 0.4, 0.5, -0.5, 1.0, -1.0, 2.0, 3.0, -3.0, 6.0, SMALL, -SMALL, 1e30, -1e30]
KINKED = [
    (ReLU(), nn.ReLU()),
    (LeakyReLU(), nn.LeakyReLU()),
    (LeakyReLU(0.3), nn.LeakyReLU(0.3)),
    (ReLU6(), nn.ReLU6()),
    (Threshold(0.4, 0.4), nn.Threshold(0.4, 0.4)),
    (Threshold(0.4, 2), nn.Threshold(0.4, 2)),
    (Hardtanh(), nn.Hardtanh()),
    (Hardsigmoid(), nn.Hardsigmoid()),
    (Hardswish(), nn.Hardswish()),
    (Hardshrink(), nn.Hardshrink()),
    (Softshrink(), nn.Softshrink()),
    (Softshrink(0.0), nn.Softshrink(0.0)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize(("operator", "module"), KINKED, ids=lambda each: repr(each))
def test_the_value_and_the_gradient_at_kinks_and_extremes_are_torch_s(operator, module, dtype):
    x = torch.tensor([*KINKS, float("inf"), float("-inf"), float("nan")], dtype=dtype)
    x = torch.cat([x, x.nextafter(torch.full_like(x, 9)), x.nextafter(torch.full_like(x, -9))]).requires_grad_()
    dy = torch.arange(1, len(x) + 1, dtype=dtype)
    expected = module(x)
    expected.backward(dy)
    y, saved = operator.forward({}, x.detach(), training=True)
    ((dx,), _) = operator.backward({}, saved, dy)
    torch.testing.assert_close(y, expected.detach(), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(dx, x.grad, rtol=0, atol=0, equal_nan=True)
    assert dx[: len(KINKS)].isfinite().all()
    assert y[: len(KINKS)].isfinite().all()


def test_what_is_kept():
    x = torch.randn(4, 3)
    for operator in (ReLU(), ReLU6(), LeakyReLU(), Hardtanh(), Hardshrink(), Softshrink()):
        y, kept = operator.forward({}, x.clone(), training=True, out=(given := x.clone()))
        assert y is kept is given
    assert LeakyReLU(-0.5).forward({}, x, training=True, out=x)[1] is x
    for operator, keeps_x in [(Threshold(0.5, 0.5), False), (Threshold(0.5, 0.6), True)]:
        y, kept = operator.forward({}, x, training=True)
        assert kept is (x if keeps_x else y)


ARGUMENTS = [
    (LeakyReLU, nn.LeakyReLU, ["inplace"]),
    (ReLU, nn.ReLU, ["inplace"]),
    (ReLU6, nn.ReLU6, ["inplace"]),
    (Threshold, nn.Threshold, ["inplace"]),
    (Hardtanh, nn.Hardtanh, ["inplace", "min_value", "max_value"]),
    (Hardsigmoid, nn.Hardsigmoid, ["inplace"]),
    (Hardswish, nn.Hardswish, ["inplace"]),
    (Hardshrink, nn.Hardshrink, []),
    (Softshrink, nn.Softshrink, []),
    (PReLU, nn.PReLU, ["device", "dtype"]),
    (RReLU, nn.RReLU, ["inplace"]),
]


@pytest.mark.parametrize(("operator", "module", "without"), ARGUMENTS, ids=lambda each: getattr(each, "__name__", ""))
def test_arguments_are_torch_s(operator, module, without):
    ours, theirs = (inspect.signature(each).parameters for each in (operator, module))
    assert {name: each.default for name, each in ours.items()} == {
        name: each.default for name, each in theirs.items() if name not in without
    }
    assert [*ours, *without] == [*theirs]


def test_prelu_starts_as_in_torch_and_takes_its_state():
    net = Network({"act": PReLU(3, 0.3)}, {"x": ["act"]}, seed=0)
    module = nn.PReLU(3, 0.3)
    assert torch.equal(net.parameters["act.weight"], module.weight.detach())
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.1, -0.2, 1.5]))
    net.load_state_dict({f"act.{name}": tensor for name, tensor in module.state_dict().items()})
    x = torch.randn(2, 3, 4)
    assert torch.equal(net.forward(x)["act"], module(x).detach())


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 2), (4, 2, 3)])
def test_prelu_refuses_other_channels(shape):
    net = Network({"act": PReLU(3)}, {"x": ["act"]})
    message = r"act \(PReLU\) cannot take its inputs: .* a slope for each of 3 channels.*Expected \(n, 3, \.\.\.\)"
    with pytest.raises(ShapeError, match=message):
        net.forward(torch.zeros(shape))


def test_rrelu_draws_from_the_generator_of_the_network():
    x = torch.full((200, 50), -1.0)
    a, b, c = (Network({"act": RReLU(0.1, 0.4)}, {"x": ["act"]}, seed=seed) for seed in (0, 0, 1))
    state = torch.get_rng_state()
    first = a.forward(x)["act"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, b.forward(x)["act"])
    assert not torch.equal(first, c.forward(x)["act"])
    assert not torch.equal(first, a.forward(x)["act"])
    assert -0.4 <= first.min() < -0.39
    assert -0.11 < first.max() <= -0.1
    assert first.mean().item() == pytest.approx(-0.25, abs=0.005)
    assert torch.equal(a.predict(x), nn.RReLU(0.1, 0.4).eval()(x))


REFUSED = [
    (lambda: PReLU(0), "PReLU: num_parameters must be a whole number of at least 1, not 0"),
    (lambda: PReLU(init="a"), "PReLU: init must be a finite number, not 'a'"),
    (lambda: Softshrink(-0.1), "Softshrink: lambd must be a finite number of at least 0, not -0.1"),
    (lambda: Hardtanh(1.0, 1.0), "Hardtanh: min_val must be less than max_val, not 1.0 >= 1.0"),
    (lambda: RReLU(0.5, 0.1), "RReLU: lower must be at most upper, not 0.5 > 0.1"),
    (lambda: Threshold(None, 1.0), "Threshold: threshold must be a finite number, not None"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_settings_are_checked(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message


def test_descriptions_name_what_differs_from_the_default():
    assert ReLU().describe() == LeakyReLU().describe() == PReLU().describe() == ""
    assert LeakyReLU(0.2).describe() == "negative_slope 0.2"
    assert Threshold(0.1, 2.0).describe() == "threshold 0.1, value 2"
