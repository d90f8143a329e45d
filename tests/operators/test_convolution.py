from __future__ import annotations

import dataclasses
import inspect
import itertools
import math

import pytest
import torch
from torch import nn

from graphdl import Conv1d, Conv2d, Conv3d, Network, check_gradients
from graphdl.errors import GraphDLError, MissingInputError, SettingError, ShapeError
from graphdl.initializers import Constant, KaimingNormal, Zeros
from tests.operators.case import Case, by_hand, upstream
from tests.operators.checks import every_check

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own

X = (3, 2, 6, 5)
SEQUENCE = (3, 2, 7)
VOLUME = (2, 2, 3, 4, 3)


def module(operator):
    """The module of torch.nn with the same settings."""
    settings = {name: getattr(operator, name) for name in inspect.signature(operator.__class__).parameters}
    settings |= {"bias": operator.bias is not False}
    del settings["weight"]
    return getattr(nn, type(operator).__name__)(**settings)


def case(name, operator, shape=X, **settings):
    given = Case(name, operator, [shape], None, **settings)
    reference = module(given.complete())
    return dataclasses.replace(given, reference=lambda p, x: torch.func.functional_call(reference, p, (x,)))


CASES = [
    case("plain", Conv2d(2, 3, 3)),
    case("inferred", Conv2d(out_channels=3, kernel_size=2)),
    case("no-bias", Conv2d(2, 3, 3, bias=False)),
    case("one-pixel", Conv2d(2, 3, 1), (3, 2, 1, 1)),
    case("stride", Conv2d(2, 3, 3, stride=2)),
    case("strides-padding", Conv2d(2, 2, (3, 2), (2, 1), (0, 2))),
    case("dilation", Conv2d(2, 2, 2, dilation=(3, 2))),
    case("groups", Conv2d(2, 4, 2, groups=2)),
    case("depthwise-no-bias", Conv2d(4, 4, 3, groups=4, bias=False), (2, 4, 4, 5)),
    case("same", Conv2d(2, 3, 3, padding="same")),
    case("same-even", Conv2d(2, 3, (2, 4), padding="same")),
    case("same-dilated", Conv2d(2, 2, (4, 2), dilation=(1, 3), padding="same")),
    case("valid", Conv2d(2, 3, 2, padding="valid")),
    case("same-circular", Conv2d(2, 2, (2, 3), padding="same", padding_mode="circular")),
    case("same-reflect", Conv2d(2, 2, (4, 2), padding="same", padding_mode="reflect")),
    case("unpadded-reflect", Conv2d(2, 2, 2, padding_mode="reflect")),
    *(case(mode, Conv2d(2, 2, 3, 2, (2, 1), padding_mode=mode)) for mode in ("reflect", "replicate", "circular")),
    case("circular-all", Conv2d(2, 1, 2, padding=(6, 5), padding_mode="circular")),
    case("initialized", Conv2d(2, 2, 2, bias=Constant(0.5), weight=KaimingNormal())),
    case("single", Conv2d(2, 3, 3, padding=1), (2, 4, 4), batched=False),
    case("single-reflect", Conv2d(2, 2, 2, padding=1, padding_mode="reflect"), (2, 4, 3), batched=False),
    case("1d", Conv1d(None, 4, 3, 2, 1, 2, 2), SEQUENCE),
    case("1d-same", Conv1d(2, 3, 4, padding="same", bias=False), SEQUENCE),
    case("1d-circular", Conv1d(2, 2, (2,), padding=(3,), padding_mode="circular"), SEQUENCE),
    case("1d-single", Conv1d(2, 3, 3, padding="same", padding_mode="reflect"), (2, 5), batched=False),
    case("3d", Conv3d(None, 2, 2, (2, 1, 1), (1, 0, 2), (1, 2, 1)), VOLUME),
    case("3d-same", Conv3d(2, 2, (2, 1, 3), padding="same", groups=2), VOLUME),
    case("3d-circular", Conv3d(2, 1, 2, padding=(2, 1, 0), padding_mode="circular"), VOLUME),
    case("3d-single", Conv3d(2, 1, 2, padding=1, padding_mode="replicate"), (2, 3, 2, 3), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


GRID = list(
    itertools.product(
        (Conv1d, Conv2d, Conv3d),
        (1, 2, 3),
        (1, 2),
        (0, 1, "same", "valid"),
        (1, 2),
        (1, 2),
        ("zeros", "reflect", "replicate", "circular"),
    )
)


@pytest.mark.parametrize("settings", [s for s in GRID if s[3] != "same" or s[2] == 1][::5], ids=str)
def test_it_is_torch_s_module_for_all_settings(settings):
    """kernel_size, stride, padding, dilation, groups and padding_mode, also loaded from there."""
    cls, kernel, *others = settings
    axes = len(cls.space)
    kernel = (kernel, 2, 3)[:axes]
    operator = cls(2, 4, kernel, *others[:-1], True, others[-1])
    check_against_module(operator, module(operator).double(), (2, 2, 7, 6, 5)[: axes + 2])


def check_against_module(operator, module, shape):
    """Values and gradients, with the parameters and the state_dict of the module."""
    net = Network({"conv": operator}, {"x": ["conv"]}, dtype=torch.float64)
    net.load_state_dict({f"conv.{name}": tensor for name, tensor in module.state_dict().items()})
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected = module(x)
    torch.testing.assert_close(net.forward(x)["conv"], expected.detach())
    dy = upstream(expected.detach())
    expected.backward(dy)
    torch.testing.assert_close(net.backward({"conv": dy})["x"], x.grad)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(net.gradients[f"conv.{name}"], parameter.grad)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cls", [Conv1d, Conv2d, Conv3d])
def test_parameters_are_laid_out_as_in_torch(cls, bias):
    operator = cls(4, 6, (3, 2, 1)[: len(cls.space)], groups=2, bias=bias)
    net = Network({"conv": operator}, {"x": ["conv"]}, seed=0)
    assert {f"conv.{name}": p.shape for name, p in module(operator).state_dict().items()} == {
        name: tensor.shape for name, tensor in net.state_dict().items()
    }


@pytest.mark.parametrize("cls", [Conv1d, Conv2d, Conv3d])
def test_arguments_are_torch_s(cls):
    ours, theirs = inspect.signature(cls).parameters, inspect.signature(getattr(nn, cls.__name__)).parameters
    assert [*ours][:9] == [*theirs][:9]
    for name in [*ours][3:9]:
        assert ours[name].default == theirs[name].default


@pytest.mark.parametrize("groups", [1, 4])
def test_first_values_are_distributed_as_in_torch(groups):
    net = Network({"conv": Conv2d(16, 400, 5, groups=groups)}, {"x": ["conv"]}, seed=0)
    bound = 1 / math.sqrt(16 // groups * 25)
    for tensor in net.parameters.values():
        assert 0.98 * bound < tensor.abs().max() <= bound
        assert tensor.mean().abs() < 0.1 * bound
    torch.manual_seed(0)
    expected = nn.Conv2d(16, 400, 5, groups=groups).weight.std().item()
    assert net.parameters["conv.weight"].std().item() == pytest.approx(expected, rel=0.01)


def test_initializers_are_chosen_by_the_arguments():
    net = Network({"conv": Conv2d(1, 2, 3, bias=Constant(0.25), weight=Zeros())}, {"x": ["conv"]})
    assert net.parameters["conv.bias"].tolist() == [0.25, 0.25]
    assert not net.parameters["conv.weight"].any()


def test_what_is_kept_is_the_input_alone():
    x = torch.randn(2, 2, 5, 5)
    for operator in (Conv2d(2, 3, 2, padding="same"), Conv2d(2, 3, 3, padding=1, padding_mode="reflect")):
        p = {"weight": torch.randn(operator.parameters()["weight"].shape), "bias": torch.zeros(3)}
        assert operator.forward(p, x, training=True)[1] is x


def test_channels_last_goes_through():
    last = torch.channels_last
    operator = Conv2d(3, 8, 3, padding=1)
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=last)
    p = {"weight": torch.randn(8, 3, 3, 3), "bias": torch.zeros(8)}
    y, saved = operator.forward(p, x, training=True)
    (dx,), _ = operator.backward(p, saved, torch.randn(y.shape).contiguous(memory_format=last))
    assert y.is_contiguous(memory_format=last)
    assert dx.is_contiguous(memory_format=last)


def test_in_channels_follow_from_the_input():
    net = Network({"conv": Conv2d(out_channels=4, kernel_size=3, groups=2)}, {"x": ["conv"]})
    with pytest.raises(MissingInputError, match=r"conv \(Conv2d\) needs in_channels"):
        _ = net.parameters
    assert net.build({"x": (6, 5, 5)}).parameters["conv.weight"].shape == (4, 3, 3, 3)
    assert net.engine.operators["conv"] == Conv2d(6, 4, 3, groups=2)
    assert net.shapes({"x": (10, 6, 9, 8)})["conv"] == (10, 4, 7, 6)


def node(operator):
    return Network({"conv": operator}, {"x": ["conv"]})


SHAPES = [
    (
        Conv2d(out_channels=4, kernel_size=3),
        (10, 28, 28),
        r"in_channels can be inferred from \(n, c, h, w\), but the input has 3 axes: give data of one channel",
    ),
    (Conv2d(out_channels=4, kernel_size=3, groups=2), (1, 3, 5, 5), "input cannot be split into 2 groups"),
    (Conv2d(3, 4, 3), (1, 2, 5, 5), r"\(1, 2, 5, 5\) float32 from the input x.* Expected \(n, 3, h, w\)"),
    (Conv2d(3, 4, (3, 2)), (1, 3, 2, 2), r"\(1, 3, 2, 2\) .* no smaller than the kernel of 3×2"),
    (Conv2d(3, 4, 3), (5, 3), r"\(5, 3\) .* Expected \(n, 3, h, w\)"),
    (Conv1d(out_channels=4, kernel_size=3), (10, 28), r"can be inferred from \(n, c, t\), but the input has 2 axes"),
    (Conv1d(3, 4, 3), (1, 3, 5, 5), "the input has 4 axes in place of 3, or 2 without the batch"),
    (Conv1d(3, 4, 3), (2, 3, 2), r"\(2, 3, 2\) .* Expected \(n, 3, t\), no smaller than the kernel of 3"),
    (Conv3d(3, 4, 3), (3, 5, 5), r"has 3 axes in place of 5, or 4 .* Expected \(n, 3, d, h, w\), .* of 3×3×3"),
    (Conv2d(3, 4, 3, padding=4, padding_mode="reflect"), (1, 3, 3, 3), "cannot take its inputs"),
]


@pytest.mark.parametrize(("operator", "shape", "text"), SHAPES, ids=[text for _, _, text in SHAPES])
def test_shapes_that_do_not_fit_are_told(operator, shape, text):
    with pytest.raises(ShapeError, match=rf"conv \({type(operator).__name__}\) .*{text}"):
        node(operator).forward(torch.zeros(shape))


def test_integers_are_told():
    with pytest.raises(GraphDLError, match=r"conv \(Conv2d\) cannot mix the types .*int64"):
        node(Conv2d(1, 1, 1)).forward(torch.ones(1, 1, 2, 2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "out_channels is missing; write Conv2d"),
        ({"out_channels": 3}, "kernel_size is missing"),
        ({"out_channels": 0, "kernel_size": 1}, "out_channels must be a whole number of at least 1, not 0"),
        (
            {"out_channels": 2, "kernel_size": 1, "in_channels": 2.0},
            "in_channels must be .* at least 1, not 2.0",
        ),
        (
            {"out_channels": 2, "kernel_size": [3, 3]},
            r"kernel_size must be .*, or a tuple of them, not \[3, 3\]",
        ),
        ({"out_channels": 2, "kernel_size": (3, 3, 3)}, r"kernel_size must be .* not \(3, 3, 3\)"),
        ({"out_channels": 2, "kernel_size": True}, "kernel_size must be .* not True"),
        ({"out_channels": 2, "kernel_size": 3, "stride": 0}, "stride must be a whole number of at least 1, .* not 0"),
        ({"out_channels": 2, "kernel_size": 3, "dilation": (1, 0)}, r"dilation must be .* not \(1, 0\)"),
        (
            {"out_channels": 2, "kernel_size": 3, "padding": -1},
            "padding must be 'same' or 'valid', or a whole number of at least 0",
        ),
        (
            {"out_channels": 2, "kernel_size": 3, "padding": "full"},
            "padding must be 'same' or 'valid', or .* not 'full'",
        ),
        ({"out_channels": 2, "kernel_size": 3, "padding": "same", "stride": (1, 2)}, "'same' needs stride 1"),
        ({"out_channels": 2, "kernel_size": 3, "padding_mode": "zero"}, "padding_mode .* Did you mean 'zeros'"),
        ({"out_channels": 3, "kernel_size": 3, "groups": 2}, "out_channels 3 cannot be split into 2 groups"),
        ({"out_channels": 2, "in_channels": 3, "kernel_size": 3, "groups": 2}, "in_channels 3 cannot be split"),
        ({"out_channels": 2, "kernel_size": 3, "groups": 0}, "groups must be a whole number"),
        ({"out_channels": 2, "kernel_size": 3, "bias": "yes"}, "bias must be True or False, or an initializer"),
        (
            {"out_channels": 2, "kernel_size": 3, "weight": Zeros},
            "weight must be an initializer .*, not the class Zeros: write",
        ),
    ],
)
def test_settings_are_checked(arguments, text):
    with pytest.raises(SettingError, match=f"^Conv2d: .*{text}"):
        Conv2d(**arguments)


def test_texts():
    assert Conv2d(3, 16, 5).describe() == "3 → 16 5×5"
    assert Conv2d(None, 16, (1, 5), 2, 1).describe() == "? → 16 1×5, stride 2, padding 1"
    described = Conv2d(4, 4, 3, (2, 1), 0, 2, 4, False, "circular").describe()
    assert described == "4 → 4 3×3, stride 2×1, dilation 2, groups 4, no bias, padding_mode circular"
    assert Conv1d(3, 16, 5, 2).describe() == "3 → 16, kernel_size 5, stride 2"
    assert Conv3d(3, 16, 5).describe() == "3 → 16 5×5×5"
    assert Conv2d(3, 16, 5).expects() == "(n, 3, h, w), no smaller than the kernel of 5×5"
    assert (Conv2d.slots, Conv2d.family) == (("input",), "convolution")


def test_a_wrong_border_would_be_seen():
    """The gradient of a circular border is wrong by little where it is left out: the differences see it."""
    case = next(case for case in CASES if case.name == "circular")
    p, xs = case.draw()
    y, _ = case.forward(p, xs)
    right = by_hand(case, p, xs, upstream(y))
    zeros = by_hand(case, p, xs, upstream(y), Conv2d(2, 2, 3, 2, (2, 1)))
    assert not torch.allclose(right.dxs[0], zeros.dxs[0])
    assert check_gradients(case.operator, *xs) < 1e-7
