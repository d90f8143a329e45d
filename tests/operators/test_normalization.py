from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import GroupNorm, LayerNorm, LocalResponseNorm, MSELoss, Network, RMSNorm, fit
from graphdl.errors import MissingInputError, SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, normal
from tests.operators.checks import every_check

MODULES = {
    GroupNorm: nn.GroupNorm,
    LayerNorm: nn.LayerNorm,
    LocalResponseNorm: nn.LocalResponseNorm,
    RMSNorm: nn.RMSNorm,
}
FLAT, IMAGE = (4, 3), (3, 2, 4, 3)


def layer_norm(operator):
    return lambda p, x: functional.layer_norm(x, operator.axes, p.get("weight"), p.get("bias"), operator.eps)


def rms_norm(operator):
    return lambda p, x: functional.rms_norm(x, operator.axes, p.get("weight"), operator.eps)


def group_norm(operator):
    return lambda p, x: functional.group_norm(x, operator.num_groups, p.get("weight"), p.get("bias"), operator.eps)


def local_norm(operator):
    settings = operator.size, operator.alpha, operator.beta, operator.k
    return lambda p, x: functional.local_response_norm(x, *settings)


LAYER = [
    ("last", LayerNorm(3), FLAT),
    ("two-axes", LayerNorm((4, 3)), IMAGE),
    ("eps", LayerNorm((3,), eps=0.1), (4, 2, 3)),
    ("plain", LayerNorm(3, elementwise_affine=False), FLAT),
    ("no-bias", LayerNorm(3, bias=False), (2, 2, 3)),
]
RMS = [
    ("last", RMSNorm(3), FLAT),
    ("two-axes", RMSNorm((4, 3), eps=0.2), IMAGE),
    ("plain", RMSNorm(3, 0.1, False), (2, 2, 3)),
]
GROUP = [
    ("two", GroupNorm(2, 4), (3, 4, 3)),
    ("flat", GroupNorm(2, 6, eps=0.1), (4, 6)),
    ("plain", GroupNorm(1, 2, affine=False), IMAGE),
    ("no-bias", GroupNorm(2, 2, bias=False), IMAGE),
    ("volume", GroupNorm(3, 6), (2, 6, 1, 2, 1)),
]
LOCAL = [
    ("odd", LocalResponseNorm(3, 0.5, 0.6, 1.5), (2, 5, 3)),
    ("even", LocalResponseNorm(4, alpha=1, k=2), (2, 5, 2, 2)),
    ("one", LocalResponseNorm(1, 1.0, 0.5, 2.0), (1, 2, 2, 1, 2)),
    ("wider-than-the-channels", LocalResponseNorm(9, alpha=1), (2, 3, 2)),
]
CASES = [
    *(Case(f"layer-{name}", op, [shape], layer_norm(op)) for name, op, shape in LAYER),
    Case("layer-inferred", LayerNorm(), [FLAT], layer_norm(LayerNorm(3))),
    Case("layer-row", LayerNorm(4), [(4,)], layer_norm(LayerNorm(4)), batched=False),
    *(Case(f"rms-{name}", op, [shape], rms_norm(op)) for name, op, shape in RMS),
    Case("rms-inferred", RMSNorm(), [FLAT], rms_norm(RMSNorm(3))),
    Case("rms-row", RMSNorm(4), [(4,)], rms_norm(RMSNorm(4)), batched=False),
    *(Case(f"group-{name}", op, [shape], group_norm(op)) for name, op, shape in GROUP),
    Case("group-inferred", GroupNorm(1), [(2, 2, 3)], group_norm(GroupNorm(1, 2))),
    *(Case(f"local-{name}", op, [shape], local_norm(op)) for name, op, shape in LOCAL),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def test_channels_last_goes_through():
    for last, shape in [(torch.channels_last, (4, 6, 5, 5)), (torch.channels_last_3d, (4, 6, 2, 3, 5))]:
        x, dy = (normal(shape, torch.Generator().manual_seed(seed)) for seed in range(2))
        operator = GroupNorm(3, 6, affine=False)
        y, saved = operator.forward({}, x.contiguous(memory_format=last), training=True)
        assert y.is_contiguous(memory_format=last)
        expected, plain = operator.forward({}, x, training=True)
        torch.testing.assert_close(y, expected)
        for given in (dy, dy.contiguous(memory_format=last)):
            torch.testing.assert_close(
                operator.backward({}, saved, given)[0][0], operator.backward({}, plain, dy)[0][0]
            )


@pytest.mark.parametrize(("groups", "shape"), [(4, (3, 4)), (4, (2, 4, 1)), (2, (0, 4)), (2, (1, 4)), (2, (3, 4, 0))])
def test_groups_of_a_single_value_or_none_are_those_of_torch(groups, shape):
    operator, theirs = GroupNorm(groups, 4), nn.GroupNorm(groups, 4)
    p = {"weight": torch.tensor([1.0, 2.0, -1.0, 0.5]), "bias": torch.tensor([0.5, 0.0, 1.0, -2.0])}
    theirs.load_state_dict(p)
    x = normal(shape, torch.Generator().manual_seed(0)).float().requires_grad_()
    expected = theirs(x)
    expected.sum().backward()
    y, saved = operator.forward(p, x.detach(), training=True)
    (dx,), dps = operator.backward(p, saved, torch.ones_like(y))
    torch.testing.assert_close(y, expected.detach())
    found = [dx, dps["weight"], dps["bias"]]
    torch.testing.assert_close(found, [x.grad, theirs.weight.grad, theirs.bias.grad], equal_nan=True)


def test_a_row_of_zeros_stays():
    x = torch.zeros(2, 3)
    y, saved = RMSNorm(3, elementwise_affine=False).forward({}, x, training=True)
    assert not y.any()
    (dx,), _ = RMSNorm(3, elementwise_affine=False).backward({}, saved, torch.ones(2, 3))
    expected = torch.full((2, 3), torch.finfo(torch.float32).eps ** -0.5)
    torch.testing.assert_close(dx, expected, rtol=1e-6, atol=0)


def test_an_infinite_channel_stays_within_its_window():
    x = torch.ones(1, 6, 1)
    x[0, 0] = torch.inf
    y, _ = LocalResponseNorm(3).forward({}, x, training=True)
    assert torch.equal(y.isfinite()[0, :, 0], functional.local_response_norm(x, 3).isfinite()[0, :, 0])


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (LayerNorm((4, 3)), (5, 4), r"Expected \(n, \.\.\., 4, 3\)"),
        (LayerNorm(3), (3, 4), r"Expected \(n, \.\.\., 3\)"),
        (LayerNorm(), (), "the input is a single number"),
        (RMSNorm((4, 3)), (5, 4), r"Expected \(n, \.\.\., 4, 3\)"),
        (RMSNorm((4, 3)), (3,), r"Expected \(n, \.\.\., 4, 3\)"),
        (RMSNorm(3), (3, 1), r"Expected \(n, \.\.\., 3\)"),
        (RMSNorm(), (), "the input is a single number"),
        (GroupNorm(2, 4), (3, 2, 4), r"Expected \(n, 4, \.\.\.\)"),
        (GroupNorm(2, 4), (4,), r"Expected \(n, 4, \.\.\.\)"),
        (GroupNorm(2), (4,), r"num_channels can be inferred from \(n, c, \.\.\.\), but the input has 1 ax"),
        (GroupNorm(4, 4), (1, 4), "a single row with a single value per group has no variance: take fewer groups"),
        (LocalResponseNorm(3), (3,), r"no axis of channels.* Expected \(n, c, \.\.\.\)"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_other_shapes_are_told(operator, shape, text, training):
    net = Network({"norm": operator}, {"x": ["norm"]})
    with pytest.raises(ShapeError, match=rf"norm \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward(torch.zeros(shape), training=training)


def test_sizes_follow_from_the_input():
    operators = {"gn": GroupNorm(2), "ln": LayerNorm(), "rms": RMSNorm()}
    net = Network(operators, {"x": ["gn"], "gn": ["ln"], "ln": ["rms"]})
    with pytest.raises(MissingInputError, match=r"gn \(GroupNorm\) needs num_channels"):
        _ = net.parameters
    net.build({"x": (6, 4, 3)})
    assert net.engine.operators == {"gn": GroupNorm(2, 6), "ln": LayerNorm(3), "rms": RMSNorm(3)}
    with pytest.raises(ShapeError, match=r"gn \(GroupNorm\) .*5 channels cannot be divided into 2 groups"):
        Network({"gn": GroupNorm(2)}, {"x": ["gn"]}).build({"x": (5, 4, 3)})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: LayerNorm(0),
            "LayerNorm: normalized_shape must be a whole number of at least 1, or a tuple of them, not 0",
        ),
        (lambda: LayerNorm(()), r"LayerNorm: normalized_shape .* not \(\)"),
        (lambda: LayerNorm([3]), r"LayerNorm: normalized_shape .* not \[3\]"),
        (lambda: LayerNorm(3, eps=float("nan")), "LayerNorm: eps must be a finite number of at least 0, not nan"),
        (lambda: RMSNorm((3, 0)), r"RMSNorm: normalized_shape .* not \(3, 0\)"),
        (lambda: RMSNorm(3, eps=-1), "RMSNorm: eps must be a finite number of at least 0, not -1"),
        (lambda: GroupNorm(3, 10), "GroupNorm: num_channels must be a multiple of num_groups, not 10 channels in 3"),
        (lambda: GroupNorm(0, 10), "GroupNorm: num_groups must be a whole number of at least 1, not 0"),
        (lambda: LocalResponseNorm(0), "LocalResponseNorm: size must be a whole number of at least 1, not 0"),
        (lambda: LocalResponseNorm(3, k="1"), "LocalResponseNorm: k must be a finite number, not '1'"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


@pytest.mark.parametrize("operator", MODULES)
def test_arguments_are_torch_s(operator):
    ours, theirs = inspect.signature(operator).parameters, inspect.signature(MODULES[operator]).parameters
    assert [*ours] == [name for name in theirs if name not in ("device", "dtype")]
    left_out = ("normalized_shape", "num_channels")  # both may be inferred
    assert all(ours[name].default == theirs[name].default for name in ours if name not in left_out)
    assert all(ours[name].kind == theirs[name].kind for name in ours)


BOTH = (True, False)
PAIRS = [
    *((LayerNorm((2, 3), 1e-5, a, b), nn.LayerNorm((2, 3), 1e-5, a, b)) for a in BOTH for b in BOTH),
    *((RMSNorm((2, 3), None, a), nn.RMSNorm((2, 3), None, a)) for a in BOTH),
    *((GroupNorm(2, 6, 1e-5, a, bias=b), nn.GroupNorm(2, 6, 1e-5, a, bias=b)) for a in BOTH for b in BOTH),
]


@pytest.mark.parametrize(("operator", "module"), PAIRS)
def test_tensors_are_named_and_begin_as_in_torch(operator, module):
    net = Network({"norm": operator}, {"x": ["norm"]})
    expected = {f"norm.{name}": tensor for name, tensor in module.state_dict().items()}
    assert net.state_dict().keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(net.parameters[name], tensor)
    net.load_state_dict(expected)


def test_it_trains():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator)
    target = 3 * x / x.square().mean(1, keepdim=True).sqrt()
    net = Network({"rms": RMSNorm(), "loss": MSELoss()}, {"x": ["rms"], "rms": ["loss"], "y": ["loss"]}, seed=0)
    history = fit(net, {"x": x, "y": target}, optimizer=SGD(lr=0.3), epochs=30, batch_size=20, progress=False)
    assert history["loss"][-1] < 1e-6
    assert net.parameters["rms.weight"].tolist() == pytest.approx([3] * 4, abs=1e-2)


def test_texts():
    assert LayerNorm((4, 8), 0.1, bias=False).describe() == "4×8, eps 0.1, no bias"
    assert LayerNorm().describe() == RMSNorm().describe() == "?"
    assert LayerNorm(3, elementwise_affine=False).describe() == "3, no elementwise_affine"
    assert GroupNorm(2).describe() == "? channels in 2 groups"
    assert GroupNorm(2, 8, affine=False).describe() == "8 channels in 2 groups, no affine"
    assert LocalResponseNorm(5, k=2).describe() == "size 5, k 2"
    assert {each.family for each in MODULES} == {"normalization"}
