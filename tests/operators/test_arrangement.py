from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import Expand, Flip, Linear, MSELoss, Network, Pad, Repeat, Roll, Sum, fit
from graphdl.errors import SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check


def padding(name, operator, shape, **settings):
    def reference(p, x):
        return functional.pad(x, operator.padding, operator.mode, operator.value)

    return Case(f"pad-{name}", operator, [shape], reference, **settings)


CASES = [
    Case("expand", Expand((-1, 4, 3)), [(2, 1, 3)], lambda p, x: x.expand(-1, 4, 3)),
    Case("expand-new-axis", Expand((2, -1, 3)), [(3, 1)], lambda p, x: x.expand(2, -1, 3), batched=False),
    Case("expand-same", Expand((-1, -1)), [(3, 2)], lambda p, x: x.expand(-1, -1)),
    Case("repeat", Repeat((1, 2, 3)), [(2, 3, 2)], lambda p, x: x.repeat(1, 2, 3)),
    Case("repeat-new-axis", Repeat((3, 1, 2)), [(3, 2)], lambda p, x: x.repeat(3, 1, 2)),
    Case("repeat-once", Repeat((1, 1)), [(3, 2)], lambda p, x: x.repeat(1, 1)),
    Case("roll", Roll(2), [(3, 5)], lambda p, x: x.roll(2, 1)),
    Case("roll-two", Roll((1, -2), (0, -1)), [(3, 5)], lambda p, x: x.roll((1, -2), (0, 1)), small=(0,)),
    Case("flip", Flip(1), [(3, 4)], lambda p, x: x.flip(1)),
    Case("flip-two", Flip((1, -1)), [(2, 3, 4)], lambda p, x: x.flip(1, -1)),
    padding("row", Pad((1, 2)), (3, 4)),
    padding("value", Pad((1, 0, 2, 1), value=-1.5), (2, 2, 3, 2)),
    padding("removes", Pad((-1, 2, 1, -1)), (2, 4, 4)),
    padding("batch", Pad((0, 0, 1, 2)), (3, 2), batched=False),
    padding("reflect-1d", Pad((2, 1), "reflect"), (2, 3, 4)),
    padding("reflect-2d", Pad((1, 0, 2, 1), "reflect"), (2, 3, 4, 3)),
    padding("reflect-3d", Pad((1, 1, 0, 1, 1, 0), "reflect"), (2, 1, 2, 2, 3)),
    padding("replicate-1d", Pad((3, 1), "replicate"), (2, 3, 2)),
    padding("replicate-2d", Pad((1, 0, 2, 1), "replicate"), (2, 1, 2, 2)),
    padding("circular-1d", Pad((3, 2), "circular"), (2, 2, 3)),
    padding("circular-2d", Pad((1, 0, 2, 1), "circular"), (2, 1, 3, 2)),
    padding("circular-3d", Pad((1, 1, 0, 1, 1, 0), "circular"), (2, 1, 2, 2, 2)),
    padding("no-channels", Pad((1, 1), "reflect"), (3, 4), small=(1,)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(
    ("module", "operator", "shape"),
    [
        (nn.ZeroPad2d((1, 2, 0, 1)), Pad((1, 2, 0, 1)), (2, 3, 4, 4)),
        (nn.ConstantPad1d(2, 3.5), Pad((2, 2), value=3.5), (2, 3, 4)),
        (nn.ReflectionPad2d(2), Pad((2, 2, 2, 2), "reflect"), (2, 3, 4, 4)),
        (nn.ReplicationPad3d(1), Pad((1,) * 6, "replicate"), (2, 3, 2, 2, 2)),
        (nn.CircularPad1d((1, 3)), Pad((1, 3), "circular"), (2, 3, 4)),
    ],
    ids=str,
)
def test_pad_is_torch_s_modules(module, operator, shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    net = Network({"pad": operator}, {"x": ["pad"]}, dtype=torch.float64)
    expected = module(x)
    assert torch.equal(net.forward(x.detach())["pad"], expected)
    dy = upstream(expected.detach())
    expected.backward(dy)
    torch.testing.assert_close(net.backward({"pad": dy})["x"], x.grad)


def test_an_expanded_value_is_a_view_and_nothing_is_written_over_it():
    x = torch.randn(3, 1)
    y, _ = Expand((-1, 4)).forward({}, x, training=True)
    assert y.data_ptr() == x.data_ptr()
    operators = {"fc": Linear(2, 1), "wide": Expand((-1, 4)), "other": Linear(2, 4), "sum": Sum(), "loss": MSELoss()}
    edges = {"x": ["fc", "other"], "fc": ["wide"], "wide": ["sum"], "other": ["sum"], "sum": ["loss"], "y": ["loss"]}
    net, twin = (Network(operators, edges, seed=0) for _ in range(2))
    data = {"x": torch.randn(8, 2), "y": torch.randn(8, 4)}
    fit(net, data, optimizer=SGD(lr=0.1), epochs=6, batch_size=8, shuffle=False, progress=False)
    stepper = SGD(lr=0.1).bind(twin)
    for _ in range(6):
        twin.forward(data)
        twin.backward()
        stepper.step()
    for name, tensor in twin.parameters.items():
        torch.testing.assert_close(net.parameters[name], tensor)


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (Expand((-1, 4)), (2, 3), r"Expected axes that fit \(-1, 4\): each of the same length or of length 1"),
        (Expand((-1, 4)), (2, 3, 4), r"Expected axes that fit \(-1, 4\)"),
        (Repeat((2,)), (2, 3), r"Expected an input of at most 1 axis\."),
        (Roll(1, 2), (2, 3), r"Expected an axis 2\."),
        (Roll((1, 1), (1, -3)), (2, 3), r"Expected an axis 1 and an axis -3\."),
        (Flip((1, 2)), (2, 3), r"Expected an axis 1 and an axis 2\."),
        (Pad((1, 1, 1, 1, 1, 1)), (2, 3), r"padding names 3 axes, and the input has 2\."),
        (Pad((-2, -2)), (2, 3), r"Expected at least 1 axis, each longer than what is removed from it\."),
        (Pad((1, 1), "reflect"), (2, 3, 4, 5), r"mode 'reflect' with 2 numbers does not take 4 axes\. .* 1 axis after"),
        (Pad((3, 1), "reflect"), (2, 3, 3), r"Expected 1 axis after one or two others, each longer than its padding\."),
        (Pad((4, 1), "circular"), (2, 3, 3), r"Expected 1 axis after .*, none shorter than its padding\."),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(operator, shape, text):
    net = Network({"node": operator}, {"x": ["node"]})
    with pytest.raises(ShapeError, match=rf"node \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward({"x": torch.zeros(shape)})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Expand((-2,)), r"Expand: sizes must be a tuple of sizes, -1 for axes that stay, not \(-2,\)"),
        (lambda: Repeat((0, 1)), r"Repeat: repeats must be a tuple of whole numbers of at least 1, .* not \(0, 1\)"),
        (lambda: Repeat(2), r"Repeat: repeats must be a tuple of whole numbers of at least 1, .* not 2"),
        (lambda: Roll((1, 2)), r"Roll: shifts \(1, 2\) and dims 1 must have the same length"),
        (lambda: Roll(1.0), r"Roll: shifts must be a whole number, or a tuple of them, not 1\.0"),
        (lambda: Flip(()), r"Flip: dims must be a whole number, or a tuple of axes, not \(\)"),
        (lambda: Pad(1), r"Pad: padding must be a tuple of whole numbers, two for each axis from the last .* not 1"),
        (lambda: Pad((1, 1, 1)), r"Pad: padding must have two numbers for each axis, not 3 numbers"),
        (lambda: Pad((1, 1), "reflexive"), r"Pad: mode must be 'constant' or .*, not 'reflexive'"),
        (lambda: Pad((1, -1), "circular"), r"Pad: mode 'circular' takes up to three axes and no negative padding"),
        (lambda: Pad((1, 1), "reflect", 2), r"Pad: mode 'reflect' adds elements of the input, so value must be 0"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


def test_texts():
    assert (Expand((-1, 3)).describe(), Repeat((1, 2)).describe()) == ("?×3", "1×2")
    assert (Roll(1).describe(), Flip(1).describe()) == ("shifts 1", "dims 1")
    assert Pad((1, 2), "reflect").describe() == "padding 1×2, mode reflect"
    assert {each.family for each in (Expand, Repeat, Roll, Flip, Pad)} == {"reshape"}
