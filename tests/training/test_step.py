from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from graphdl import Identity, Linear, MSELoss, Network, Operator, fit
from graphdl.errors import NonFiniteError
from graphdl.optim import SGD, Adam
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep


@dataclass(frozen=True)
class Log(Operator):
    def forward(self, p, x, *, training):
        return x.log(), x

    def backward(self, p, x, dy):
        return (dy / x,), {}


def network(**middle) -> Network:
    operators = {"fc": Linear(2, 2), **middle, "after": Identity(), "loss": MSELoss()}
    chain = ["x", "fc", *middle, "after", "loss"]
    connectivity = {source: [fed] for source, fed in pairwise(chain)}
    return Network(operators, {**connectivity, "target": ["loss"]}, seed=0)


X, Y = torch.ones(4, 2), torch.zeros(4, 2)


def test_a_non_finite_loss_names_the_first_node_and_changes_nothing():
    net = network(log=Log())
    net.parameters["fc.weight"].fill_(-1.0)
    before = net.state_dict()
    with pytest.raises(NonFiniteError, match=r"log \(Log\) is the first node whose value is not finite"):
        fit(net, X, Y, optimizer=Adam(), epochs=1, batch_size=4)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_parameters_stay_as_before_the_failing_step_not_the_first():
    net = network()
    huge = torch.full((4, 2), 1e30)
    after_one = network()
    fit(after_one, [(X, Y)], optimizer=SGD(lr=0.1), epochs=1)
    with pytest.raises(NonFiniteError, match="loss"):
        fit(net, [(X, Y), (huge, Y)], optimizer=SGD(lr=0.1), epochs=1)
    for name, value in net.parameters.items():
        assert torch.equal(value, after_one.parameters[name])


def test_a_non_finite_input_is_named():
    bad = X.clone()
    bad[1, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="the input 'x' has values that are not finite"):
        fit(network(), bad, Y, optimizer=Adam(), epochs=1, batch_size=4)


def test_a_non_finite_parameter_is_named():
    net = network()
    net.parameters["fc.bias"][0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"the parameter fc\.bias is not finite: its gradient"):
        fit(net, X, Y, optimizer=Adam(), epochs=1, batch_size=4)


def test_a_step_frees_the_values_that_it_does_not_need():
    net = network()
    step = TrainingStep(net, SGD(lr=0.1).bind(net), Scorer(net, ()))
    with torch.inference_mode():
        score = step({"x": X, "target": Y})
    assert score.rows == 4
    assert net.values == {}


def test_a_step_gives_the_loss_before_its_update():
    net = network()
    expected = float(net.forward({"x": X, "target": Y})["loss"])
    step = TrainingStep(net, SGD(lr=0.1).bind(net), Scorer(net, ()))
    assert step({"x": X, "target": Y}).loss == pytest.approx(expected)
    assert step({"x": X, "target": Y}).loss < expected


@dataclass(frozen=True)
class Shy(Operator):
    """Passes no gradient to its input."""

    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        return (None,), {}


def test_parameters_behind_an_operator_without_gradient_stay():
    net = network(shy=Shy(), fc2=Linear(2, 2))
    before = net.state_dict()
    fit(net, X, Y, optimizer=SGD(lr=0.1, weight_decay=0.1), epochs=1, batch_size=4)
    assert torch.equal(net.parameters["fc.weight"], before["fc.weight"])
    assert not torch.equal(net.parameters["fc2.weight"], before["fc2.weight"])
