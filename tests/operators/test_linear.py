from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import Flatten, Linear, Network
from graphdl.errors import MissingInputError, SettingError, ShapeError
from graphdl.initializers import Constant, KaimingNormal, Zeros
from tests.operators.case import Case
from tests.operators.checks import every_check


def linear(p, x):
    return functional.linear(x, p["weight"], p.get("bias"))


CASES = [
    Case("plain", Linear(3, 5), [(4, 3)], linear),
    Case("inferred", Linear(out_features=5), [(4, 3)], linear),
    Case("no-bias", Linear(3, 5, bias=False), [(4, 3)], linear),
    Case("one-feature", Linear(1, 1), [(4, 1)], linear),
    Case("initialized", Linear(3, 2, bias=Constant(0.5), weight=KaimingNormal()), [(4, 3)], linear),
    Case("row", Linear(3, 5), [(3,)], linear, batched=False),
    Case("row-no-bias", Linear(3, 5, bias=False), [(3,)], linear, batched=False),
    Case("sequence", Linear(3, 5), [(2, 4, 3)], linear),
    Case("sequence-no-bias", Linear(3, 5, bias=False), [(2, 4, 3)], linear),
    Case("image", Linear(out_features=2), [(2, 2, 3, 4)], linear),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_laid_out_as_in_torch(bias):
    net = Network({"fc": Linear(7, 4, bias)}, {"x": ["fc"]}, seed=0)
    module = nn.Linear(7, 4, bias)
    assert {name: p.shape for name, p in module.named_parameters()} == {
        name.removeprefix("fc."): tensor.shape for name, tensor in net.parameters.items()
    }
    module.load_state_dict({name.removeprefix("fc."): tensor for name, tensor in net.state_dict().items()})
    x = torch.randn(5, 7)
    torch.testing.assert_close(net.predict(x), module(x).detach())


def test_first_values_are_distributed_as_in_torch():
    net = Network({"fc": Linear(400, 300)}, {"x": ["fc"]}, seed=0)
    bound = 1 / math.sqrt(400)
    for tensor in net.parameters.values():
        assert tensor.abs().max() <= bound
        assert tensor.abs().max() > 0.98 * bound
        assert tensor.mean().abs() < 0.1 * bound
    torch.manual_seed(0)
    weight = nn.Linear(400, 300).weight
    assert net.parameters["fc.weight"].std().item() == pytest.approx(weight.std().item(), rel=0.01)


def test_initializers_are_chosen_by_the_arguments():
    net = Network({"fc": Linear(3, 2, bias=Constant(0.25), weight=Zeros())}, {"x": ["fc"]})
    assert net.parameters["fc.bias"].tolist() == [0.25, 0.25]
    assert not net.parameters["fc.weight"].any()


def test_in_features_follow_from_the_input():
    net = Network({"fc": Linear(out_features=2)}, {"x": ["fc"]})
    with pytest.raises(MissingInputError, match=r"fc \(Linear\) needs in_features"):
        _ = net.parameters
    assert net.build({"x": (6, 5)}).parameters["fc.weight"].shape == (2, 5)
    assert net.engine.operators["fc"] == Linear(5, 2)
    assert Linear(5, 2).infer(torch.Size((9, 5))) == Linear(5, 2)


def test_a_number_has_no_features():
    with pytest.raises(ShapeError, match=r"fc \(Linear\) cannot take its inputs: .*no feature axis"):
        Network({"fc": Linear(out_features=2)}, {"x": ["fc"]}).forward(torch.tensor(1.0))


def test_a_wrong_number_of_features_names_the_node_and_the_origin():
    net = Network({"a": Flatten(), "b": Linear(4, 1)}, {"x": ["a"], "a": ["b"]})
    with pytest.raises(ShapeError, match=r"b \(Linear\) .*\(5, 3\) float32 from a.* Expected \(n, \.\.\., 4\)"):
        net.forward(torch.zeros(5, 3))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "out_features is missing; write Linear"),
        ((3,), "out_features is missing"),
        ((3, 0), "out_features must be a whole number of at least 1, not 0"),
        ((-1, 2), "in_features must be a whole number of at least 1, not -1"),
        ((2.0, 2), "in_features .* not 2.0"),
        ((2, True), "out_features .* not True"),
    ],
)
def test_sizes_are_checked(arguments, text):
    with pytest.raises(SettingError, match=f"^Linear: {text}"):
        Linear(*arguments)


def test_texts():
    assert Linear(2, 25).describe() == "2 → 25"
    assert Linear(out_features=25, bias=False).describe() == "? → 25 no bias"
    assert Linear(2, 25).expects() == "(n, ..., 2)"
    assert Linear(out_features=25).expects() == "(n, ..., i)"
    assert (Linear.slots, Linear.family) == (("input",), "dense")
