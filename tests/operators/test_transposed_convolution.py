from __future__ import annotations

import dataclasses
import inspect
import math

import pytest
import torch
from torch import nn

from graphdl import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Network
from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Constant, KaimingNormal
from tests.operators.case import Case
from tests.operators.checks import every_check

ALL = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)


def module(operator):
    """The module of torch.nn with the same settings."""
    settings = {name: getattr(operator, name) for name in inspect.signature(operator.__class__).parameters}
    settings |= {"bias": operator.bias is not False}
    del settings["weight"]
    return getattr(nn, type(operator).__name__)(**settings)


def case(name, operator, shape, **settings):
    given = Case(name, operator, [shape], None, **settings)
    reference = module(given.complete())
    return dataclasses.replace(given, reference=lambda p, x: torch.func.functional_call(reference, p, (x,)))


CASES = [
    case("1d", ConvTranspose1d(4, 2, 3, 3, 1, 2, 2, True, 2), (3, 4, 5)),
    case("1d-single", ConvTranspose1d(2, 3, 2, bias=False), (2, 4), batched=False),
    case("2d", ConvTranspose2d(2, 3, 3), (3, 2, 4, 3)),
    case("2d-inferred", ConvTranspose2d(None, 4, 2, 2, groups=2), (3, 2, 3, 2)),
    case("2d-all", ConvTranspose2d(2, 4, (3, 2), (1, 2), (2, 1), (1, 0), 2, False, (2, 3)), (3, 2, 4, 5)),
    case("2d-initialized", ConvTranspose2d(2, 1, 2, bias=Constant(0.5), weight=KaimingNormal()), (2, 2, 2, 2)),
    case("2d-single", ConvTranspose2d(2, 3, 3, padding=1), (2, 4, 4), batched=False),
    case("3d", ConvTranspose3d(None, 2, 2, 2, (0, 1, 1), (1, 0, 1)), (2, 2, 2, 3, 2)),
    case("3d-groups", ConvTranspose3d(2, 4, (1, 2, 3), groups=2, dilation=(1, 2, 1)), (2, 2, 3, 2, 1)),
    case("3d-single", ConvTranspose3d(2, 1, 2, bias=False), (2, 2, 1, 2), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cls", ALL)
def test_parameters_carry_over_from_torch(cls, bias):
    operator = cls(4, 6, (3, 2, 1)[: len(cls.space)], groups=2, bias=bias)
    net, theirs = Network({"conv": operator}, {"x": ["conv"]}, seed=0), module(operator)
    net.load_state_dict({f"conv.{name}": tensor for name, tensor in theirs.state_dict().items()})
    x = torch.randn((2, 4, 5, 5, 5)[: len(cls.space) + 2])
    torch.testing.assert_close(net.forward(x)["conv"], theirs(x).detach())


@pytest.mark.parametrize("cls", ALL)
def test_arguments_are_torch_s(cls):
    ours, theirs = inspect.signature(cls).parameters, inspect.signature(getattr(nn, cls.__name__)).parameters
    assert [*ours][:10] == [*theirs][:10]
    for name in [*ours][3:10]:
        assert ours[name].default == theirs[name].default


@pytest.mark.parametrize("groups", [1, 4])
def test_first_values_are_distributed_as_in_torch(groups):
    net = Network({"conv": ConvTranspose2d(400, 16, 5, groups=groups)}, {"x": ["conv"]}, seed=0)
    weight, bias = net.parameters["conv.weight"], net.parameters["conv.bias"]
    bound = 1 / math.sqrt(16 // groups * 25)
    assert 0.99 * bound < weight.abs().max() <= bound
    assert 0.6 * bound < bias.abs().max() <= bound
    torch.manual_seed(0)
    expected = nn.ConvTranspose2d(400, 16, 5, groups=groups)
    assert weight.std().item() == pytest.approx(expected.weight.std().item(), rel=0.01)
    assert expected.bias.abs().max() <= bound


def test_what_is_kept_is_the_input_alone():
    x = torch.randn(2, 2, 5, 5)
    operator = ConvTranspose2d(2, 3, 2)
    p = {"weight": torch.randn(operator.parameters()["weight"].shape), "bias": torch.zeros(3)}
    assert operator.forward(p, x, training=True)[1] is x


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (ConvTranspose2d(3, 4, 3), (1, 2, 5, 5), r"\(1, 2, 5, 5\) float32 from the input x.* Expected \(n, 3, h, w\)"),
        (ConvTranspose2d(3, 4, 1, padding=1), (1, 3, 2, 2), "Expected .* large enough that padding leaves something"),
        (ConvTranspose2d(3, 4, 3), (5, 3), "the input has 2 axes in place of 4, or 3 without the batch"),
        (ConvTranspose1d(out_channels=4, kernel_size=3), (5, 3), "can be inferred from .* but the input has 2 axes"),
        (ConvTranspose3d(None, 4, 3, groups=2), (1, 3, 2, 2, 2), "input cannot be split into 2 groups"),
    ],
)
def test_shapes_that_do_not_fit_are_told(operator, shape, text):
    with pytest.raises(ShapeError, match=rf"conv \({type(operator).__name__}\) .*{text}"):
        Network({"conv": operator}, {"x": ["conv"]}).forward(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, r"out_channels is missing; write ConvTranspose2d\(3, 16, 5\)"),
        ({"out_channels": 3}, "kernel_size is missing"),
        ({"out_channels": 2, "kernel_size": (3, 3, 3)}, r"kernel_size must be .* two for h and w, not \(3, 3, 3\)"),
        ({"out_channels": 2, "kernel_size": 3, "padding": "same"}, "padding must be a whole number .* not 'same'"),
        (
            {"out_channels": 2, "kernel_size": 3, "padding_mode": "reflect"},
            "padding_mode must be 'zeros', not 'reflect'",
        ),
        (
            {"out_channels": 2, "kernel_size": 3, "stride": 2, "output_padding": (1, 2)},
            r"output_padding must be smaller than stride or dilation, not \(1, 2\) with stride 2 and dilation 1",
        ),
        ({"out_channels": 3, "kernel_size": 3, "groups": 2}, "out_channels 3 cannot be split into 2 groups"),
        ({"out_channels": 2, "in_channels": 3, "kernel_size": 3, "groups": 2}, "in_channels 3 cannot be split"),
    ],
)
def test_settings_are_checked(arguments, text):
    with pytest.raises(SettingError, match=f"^ConvTranspose2d: .*{text}"):
        ConvTranspose2d(**arguments)


def test_texts():
    assert ConvTranspose2d(3, 16, 5, 2, output_padding=1).describe() == "3 → 16 5×5, stride 2, output_padding 1"
    assert ConvTranspose1d(None, 16, 5, bias=False).describe() == "? → 16, kernel_size 5, no bias"
