from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import LogSoftmax, Network, Softmax, Softmax2d, Softmin
from graphdl.errors import GraphDLError, SettingError, ShapeError
from tests.operators.case import Case
from tests.operators.checks import every_check

SHAPES = [(4,), (4, 3), (2, 3, 2, 2)]


def cases(name, operator, function):
    return [Case(f"{name}-{len(shape)}d", operator, [shape], lambda p, x: function(x)) for shape in SHAPES]


CASES = [
    *cases("softmax", Softmax(), lambda x: torch.softmax(x, -1)),
    *cases("log_softmax", LogSoftmax(), lambda x: torch.log_softmax(x, -1)),
    Case("softmax-image", Softmax(dim=1), [(2, 3, 2, 2)], lambda p, x: functional.softmax(x, 1)),
    Case("softmax-batch", Softmax(dim=0), [(4, 3)], lambda p, x: functional.softmax(x, 0)),
    Case("log_softmax-image", LogSoftmax(dim=1), [(2, 3, 2, 2)], lambda p, x: functional.log_softmax(x, 1)),
    Case("log_softmax-sequence", LogSoftmax(dim=-2), [(2, 3, 4)], lambda p, x: functional.log_softmax(x, -2)),
    Case("softmin", Softmin(), [(4, 3)], lambda p, x: functional.softmin(x, -1)),
    Case("softmin-image", Softmin(dim=1), [(2, 3, 2, 2)], lambda p, x: functional.softmin(x, 1)),
    Case("softmax2d", Softmax2d(), [(2, 3, 2, 2)], lambda p, x: nn.Softmax2d()(x)),
    Case("softmax2d-image", Softmax2d(), [(3, 2, 2)], lambda p, x: nn.Softmax2d()(x), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("operator", [Softmax(), LogSoftmax(), Softmin()], ids=lambda each: type(each).__name__)
def test_extreme_inputs_stay_finite(operator):
    x = torch.tensor([[1000.0, -1000.0, 0.0], [1e30, -1e30, 1.0]])
    y, saved = operator.forward({}, x, training=True)
    ((dx,), _) = operator.backward({}, saved, torch.tensor([[0.3, -2.0, 1.0]]).expand(2, 3))
    assert torch.isfinite(y).all()
    assert torch.isfinite(dx).all()


def test_arguments_are_torch_s():
    x = torch.randn(4, 3)
    for operator, module in [(Softmax, nn.Softmax), (LogSoftmax, nn.LogSoftmax), (Softmin, nn.Softmin)]:
        assert [*inspect.signature(operator).parameters] == [*inspect.signature(module).parameters] == ["dim"]
        default, _ = operator().forward({}, x, training=True)
        assert torch.equal(default, operator(dim=1).forward({}, x, training=True)[0])
    assert not inspect.signature(Softmax2d).parameters


def test_descriptions_name_what_differs_from_the_default():
    assert Softmax().describe() == Softmax2d().describe() == ""
    assert LogSoftmax(dim=1).describe() == "dim 1"


@pytest.mark.parametrize("operator", [Softmax(dim=2), LogSoftmax(dim=2), Softmin(dim=-3)])
def test_an_axis_that_is_not_there_is_refused_at_the_node(operator):
    net = Network({"choice": operator}, {"x": ["choice"]})
    message = (
        rf"choice \(\w+\) .*\(4, 3\) float32 from the input x\. Expected an input that has the axis {operator.dim}"
    )
    with pytest.raises(GraphDLError, match=message):
        net.forward(torch.zeros(4, 3))


@pytest.mark.parametrize("shape", [(4, 3), (1, 2, 3, 4, 5)])
def test_softmax2d_takes_images(shape):
    net = Network({"choice": Softmax2d()}, {"x": ["choice"]})
    message = rf"choice \(Softmax2d\) .*the input has {len(shape)} axes.*Expected \(n, c, h, w\) or \(c, h, w\)"
    with pytest.raises(ShapeError, match=message):
        net.forward(torch.zeros(shape))


def test_the_axis_is_checked():
    with pytest.raises(SettingError, match=r"^Softmin: dim must be a whole number, not 1\.5"):
        Softmin(1.5)
