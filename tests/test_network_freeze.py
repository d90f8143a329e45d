import itertools

import pytest
import torch

from graphdl import Linear, MSELoss, Network, Shared, Tanh, fit
from graphdl.optim import SGD
from tests.probe import Probe

X = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(5, 2)
Y = torch.linspace(0, 1, 10, dtype=torch.float64).reshape(5, 2)


def make(operators, connectivity):
    return Network(operators, connectivity, seed=0, dtype=torch.float64)


def supervised():
    operators = {"fc1": Linear(2, 3), "tanh": Tanh(), "fc2": Linear(3, 2), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return make(operators, connectivity)


def run(net):
    net.forward({"x": X, "target": Y})
    return net.backward()


@pytest.mark.parametrize(
    ("frozen", "trained"),
    [(["fc1"], {"fc2"}), (["fc2"], {"fc1"}), (["fc1", "fc2"], set()), ([], {"fc1", "fc2"}), (["tanh"], {"fc1", "fc2"})],
)
def test_frozen_nodes_have_no_gradient(frozen, trained):
    net, expected = supervised(), supervised()
    net.freeze(*frozen)
    run(net)
    run(expected)
    assert {name.split(".")[0] for name in net.gradients} == trained
    assert all(gradient.equal(expected.gradients[name]) for name, gradient in net.gradients.items())
    assert net.value_gradients["x"].equal(expected.value_gradients["x"])


def test_unfreezing_lets_them_train_again():
    net = supervised()
    net.freeze(*net.operators)
    net.unfreeze("fc2")
    run(net)
    assert set(net.gradients) == {"fc2.weight", "fc2.bias"}
    net.unfreeze(*net.operators)
    net.backward()
    assert set(net.gradients) == set(net.parameters)


def test_to_freeze_a_shared_node_freezes_its_owner():
    net = make({"a": Linear(2, 2), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    net.freeze("b")
    net.forward(X)
    net.backward({"b": Y})
    assert net.gradients == {}


def test_nodes_are_frozen_before_their_sizes_are_known():
    net = make({"a": Linear(out_features=2), "b": Linear(out_features=2)}, {"x": ["a"], "a": ["b"]})
    net.freeze("a")
    net.forward(X)
    net.backward({"b": Y})
    assert set(net.gradients) == {"b.weight", "b.bias"}


def test_fit_sends_no_gradient_upstream_of_frozen_nodes_that_nobody_needs():
    probes = {name: Probe() for name in ("first", "second", "third")}
    operators = {**probes, "fc1": Linear(2, 2), "fc2": Linear(2, 2), "loss": MSELoss()}
    chain = ["x", "first", "fc1", "second", "fc2", "third", "loss"]
    net = make(operators, {**{a: [b] for a, b in itertools.pairwise(chain)}, "target": ["loss"]})
    net.freeze("fc1")
    before = net.state_dict()
    fit(net, {"x": X, "target": Y}, optimizer=SGD(lr=0.1), epochs=3, batch_size=5, progress=False)
    assert {name: probe.calls["backward"] for name, probe in probes.items()} == {"first": 0, "second": 0, "third": 3}
    changed = {name for name, tensor in net.parameters.items() if not tensor.equal(before[name])}
    assert changed == {"fc2.weight", "fc2.bias"}
