import itertools

import pytest
import torch

from graphdl import BatchNorm1d, Dropout, Linear, MSELoss, Network, Shared, Tanh, check_gradients, fit
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


def normalized(**settings):
    operators = {
        "fc": Linear(2, 3),
        "norm": BatchNorm1d(3),
        "drop": Dropout(0.5),
        "out": Linear(3, 2),
        "loss": MSELoss(),
    }
    connectivity = {
        "x": ["fc"], "fc": ["norm"], "norm": ["drop"], "drop": ["out"], "out": ["loss"], "target": ["loss"],
    }  # fmt: skip
    net = make(operators, connectivity)
    net.load_state_dict({name: tensor + 0.3 for name, tensor in net.state_dict().items()})
    return net


FITS = {
    "operators": {"epochs": 1, "batch_size": 5},
    "replayed": {"epochs": 8, "batch_size": 5},
    "recomputed": {"epochs": 3, "batch_size": 5, "recompute": ["norm", "drop"]},
    "compiled": {"epochs": 3, "batch_size": 5, "compile": True},
}


@pytest.mark.parametrize("way", FITS)
def test_fit_moves_no_buffer_of_a_frozen_node(way):
    net = normalized()
    net.freeze("norm", "drop")
    before = net.state_dict()
    fit(net, {"x": X, "target": Y}, optimizer=SGD(lr=0.1), progress=False, shuffle=False, **FITS[way])
    changed = {name for name, tensor in net.state_dict().items() if not tensor.equal(before[name])}
    assert changed == {"fc.weight", "fc.bias", "out.weight", "out.bias"}
    assert net.parameters["fc.weight"].allclose(by_torch(FITS[way]["epochs"]), rtol=1e-10, atol=1e-12)


def by_torch(steps):
    """The weight of fc after steps by autograd, with batch normalization in eval mode and no dropout."""
    net = normalized()
    p = {name: tensor.clone().requires_grad_() for name, tensor in net.parameters.items()}
    trained = [p[name] for name in ("fc.weight", "fc.bias", "out.weight", "out.bias")]
    for _ in range(steps):
        h = torch.nn.functional.linear(X, p["fc.weight"], p["fc.bias"])
        running = net.buffers["norm.running_mean"], net.buffers["norm.running_var"]
        h = torch.nn.functional.batch_norm(h, *running, p["norm.weight"], p["norm.bias"])
        y = torch.nn.functional.linear(h, p["out.weight"], p["out.bias"])
        gradients = torch.autograd.grad((y - Y).square().mean(), trained)
        with torch.no_grad():
            for tensor, gradient in zip(trained, gradients, strict=True):
                tensor -= 0.1 * gradient
    return p["fc.weight"]


def test_a_frozen_node_computes_as_in_inference_and_passes_gradients():
    net = normalized()
    expected = net.forward({"x": X, "target": Y}, training=False)["loss"]
    net.freeze("norm", "drop")
    generator = net.generator.get_state()
    assert net.forward({"x": X, "target": Y})["loss"].equal(expected)
    assert net.generator.get_state().equal(generator)
    net.backward()
    assert {name.split(".")[0] for name in net.gradients} == {"fc", "out"}
    assert check_gradients(net, {"x": X, "target": Y}) < 1e-7
    net.unfreeze("norm", "drop")
    assert not net.forward({"x": X, "target": Y})["loss"].equal(expected)
    assert not net.generator.get_state().equal(generator)
    assert net.buffers["norm.running_mean"].ne(0.3).all()


def test_summary_and_diagram_show_every_frozen_node():
    net = normalized()
    net.freeze("drop")
    assert [line.split()[0] for line in net.summary().splitlines() if line.endswith("frozen")] == ["drop"]
