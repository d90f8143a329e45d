from collections import Counter
from dataclasses import dataclass, field

import networkx
import numpy as np
import pytest
import torch

from graphdl import (
    Concat,
    CrossEntropyLoss,
    Feed,
    Identity,
    Item,
    Linear,
    Mean,
    MSELoss,
    Network,
    Operator,
    ReLU,
    Shared,
    Subtract,
    Sum,
    Tanh,
    reads,
)

X = torch.linspace(-1, 1, 10).reshape(5, 2)
Y = torch.linspace(0, 1, 10).reshape(5, 2)


@dataclass(frozen=True)
class Probe(Operator):
    """Passes values on and counts its calls."""

    calls: Counter = field(default_factory=Counter, compare=False)

    def forward(self, p, x, *, training):
        self.calls["training" if training else "inference"] += 1
        return x, None

    def backward(self, p, saved, dy):
        self.calls["backward"] += 1
        return (dy,), {}


class Halves(Operator):
    def forward(self, p, x, *, training):
        return tuple(x.chunk(2, 1)), None

    def backward(self, p, saved, dy):
        return (torch.cat(dy, 1),), {}


def two_branches(**settings):
    operators = {
        "fc1": Linear(2, 25),
        "tanh": Tanh(),
        "fc2": Linear(2, 25),
        "relu": ReLU(),
        "sum": Sum(),
        "fc3": Linear(25, 2),
        "loss": MSELoss(),
    }
    connectivity = {
        "x": ["fc1", "fc2"],
        "fc1": ["tanh"],
        "tanh": ["sum"],
        "fc2": ["relu"],
        "relu": ["sum"],
        "sum": ["fc3"],
        "fc3": ["loss"],
        "target": ["loss"],
    }
    return Network(operators, connectivity, seed=0, **settings)


def test_what_a_network_is_made_of():
    net = two_branches()
    assert net.inputs == ("x", "target")
    assert net.outputs == net.losses == ("loss",)
    assert net.predictions == ("fc3",)
    assert sorted(net.order) == sorted(net.graph)
    assert net.order.index("sum") > net.order.index("relu")
    assert (net.device, net.dtype) == (torch.device("cpu"), torch.float32)


def test_parameters_are_named_and_laid_out_as_in_torch():
    assert {name: tuple(tensor.shape) for name, tensor in two_branches().parameters.items()} == {
        "fc1.weight": (25, 2),
        "fc1.bias": (25,),
        "fc2.weight": (25, 2),
        "fc2.bias": (25,),
        "fc3.weight": (2, 25),
        "fc3.bias": (2,),
    }


def test_tuples_and_parameters_come_in_the_order_declared():
    operators = {"l2": MSELoss(), "l1": MSELoss(), "b": Linear(2, 2), "a": Linear(2, 2, bias=False)}
    net = Network(operators, {"y": ["a"], "a": ["b", "l1"], "b": ["l2"], "x": ["l1", "l2"]})
    assert net.inputs == ("y", "x")
    assert net.outputs == net.losses == ("l2", "l1")
    assert list(net.parameters) == ["b.weight", "b.bias", "a.weight"]


def test_forward_computes_what_the_graph_says():
    net = two_branches()
    p = net.parameters
    hidden = torch.tanh(X @ p["fc1.weight"].T + p["fc1.bias"]) + torch.relu(X @ p["fc2.weight"].T + p["fc2.bias"])
    expected = hidden @ p["fc3.weight"].T + p["fc3.bias"]
    torch.testing.assert_close(net.forward({"x": X, "target": Y}), {"loss": (expected - Y).square().mean()})
    torch.testing.assert_close(net.predict(X), expected)
    torch.testing.assert_close(net.values["sum"], hidden)


def test_values_hold_every_node_of_the_last_pass():
    net = two_branches()
    assert net.values == {}
    net.forward({"x": X, "target": Y})
    assert tuple(net.values) == net.order
    assert net.values["x"] is X
    net.forward({"x": X[:3], "target": Y[:3]})
    assert net.values["fc1"].shape == (3, 25)


def test_predict_records_nothing():
    net = two_branches()
    net.forward({"x": X, "target": Y})
    net.predict(X[:2])
    assert net.values["fc1"].shape == (5, 25)


@pytest.mark.parametrize("x", [X, X.numpy(), X.double(), X.numpy().astype(np.float64), X.tolist()])
def test_the_single_input_is_a_tensor_or_an_array_or_named(x):
    net = Network({"a": Linear(2, 3)}, {"x": ["a"]}, seed=0)
    for given in (x, {"x": x}):
        torch.testing.assert_close(net.forward(given)["a"], net.predict(X))


def test_integer_inputs_stay_integers():
    net = Network({"loss": CrossEntropyLoss(), "pass": Identity()}, {"x": ["loss"], "class": ["loss", "pass"]})
    classes = np.array([0, 1, 1, 0, 1])
    assert net.forward({"x": X, "class": classes})["pass"].dtype is torch.int64


def test_every_sink_is_an_output():
    net = Network({"a": Tanh(), "b": ReLU()}, {"x": ["a", "b"]})
    assert net.outputs == net.predictions == ("a", "b")
    assert {key: value.tolist() for key, value in net.forward(X).items()} == {
        "a": X.tanh().tolist(),
        "b": X.relu().tolist(),
    }


def test_several_predictions_come_by_name():
    operators = {"a": Tanh(), "b": ReLU(), "la": MSELoss(), "lb": MSELoss()}
    net = Network(operators, {"x": ["a", "b"], "a": ["la"], "b": ["lb"]})
    assert net.inputs == ("x", "la", "lb")
    found = net.predict(X)
    assert list(found) == ["a", "b"]
    assert found["b"].equal(X.relu())


def test_two_losses_on_one_prediction_predict_it_once():
    net = Network({"a": Tanh(), "l1": MSELoss(), "l2": MSELoss()}, {"x": ["a"], "a": ["l1", "l2"]})
    assert net.predict(X).equal(X.tanh())


def test_the_prediction_is_found_by_its_slot():
    connectivity = {"t": [Feed("loss", slot="target")], "x": ["a"], "a": [Feed("loss", slot="prediction")]}
    assert Network({"a": Tanh(), "loss": MSELoss()}, connectivity).predictions == ("a",)


def test_predict_computes_and_asks_for_only_what_it_needs():
    head, aside = Probe(), Probe()
    operators = {"a": Tanh(), "head": head, "aside": aside, "loss": MSELoss()}
    net = Network(operators, {"x": ["a", "aside"], "a": ["head"], "head": ["loss"], "target": ["loss"]})
    assert net.predict(X).equal(X.tanh())
    assert head.calls == {"inference": 1}
    assert aside.calls == {}


def test_an_input_that_a_prediction_does_not_need_may_be_given():
    assert two_branches().predict({"x": X, "target": "ignored"}).shape == (5, 2)


@pytest.mark.parametrize(("training", "counted"), [(True, "training"), (False, "inference")])
def test_forward_tells_operators_whether_it_trains(training, counted):
    probe = Probe()
    Network({"a": probe}, {"x": ["a"]}).forward(X, training=training)
    assert probe.calls == {counted: 1}


def test_a_network_of_one_operator_that_nothing_feeds():
    net = Network(operators={1: Linear(2, 1)}, connectivity={1: []}, seed=0)
    assert net.inputs == net.outputs == (1,)
    assert net.predict(X).equal(net.forward({1: X})[1])


def test_a_loss_fed_only_a_prediction_has_its_target_as_an_input():
    net = Network({"a": Tanh(), "loss": MSELoss()}, {"x": ["a"], "a": ["loss"]})
    assert net.inputs == ("x", "loss")
    assert net.forward({"x": X, "loss": X.tanh()})["loss"].item() == 0


def test_an_unfed_loss_has_two_inputs():
    net = Network({"loss": MSELoss()}, {})
    assert net.inputs == ("loss.prediction", "loss.target")
    assert net.forward({"loss.prediction": X, "loss.target": X + 2})["loss"].item() == pytest.approx(4)


@pytest.mark.parametrize(
    ("operator", "connectivity", "expected"),
    [
        (Concat(), {"a": ["n"], "b": ["n"]}, torch.cat([X, Y], 1)),
        (Concat(), {"b": ["n"], "a": ["n"]}, torch.cat([Y, X], 1)),
        (Concat(), {"a": [Feed("n", slot=1)], "b": ["n"]}, torch.cat([Y, X], 1)),
        (Concat(), reads({"n": ["b", "a", "b"]}), torch.cat([Y, X, Y], 1)),
        (Subtract(), {"a": ["n"], "b": ["n"]}, X - Y),
        (Subtract(), {"a": [Feed("n", slot="subtrahend")], "b": ["n"]}, Y - X),
        (Sum(), {"a": ["n", "n"], "b": ["n"]}, 2 * X + Y),
        (Mean(), {"a": ("n", "n", "n"), "b": ("n",)}, (3 * X + Y) / 4),
    ],
)
def test_a_nodes_inputs_come_in_the_order_declared(operator, connectivity, expected):
    net = Network({"n": [operator]}, connectivity)
    torch.testing.assert_close(net.predict({"a": X, "b": Y}), expected)


def test_shared_nodes_use_the_same_parameters():
    net = Network({"c": Shared("b"), "b": Shared("a"), "a": Linear(2, 2)}, {"x": ["a"], "a": ["b"], "b": ["c"]}, seed=0)
    assert list(net.parameters) == ["a.weight", "a.bias"]
    w, b = net.parameters.values()
    expected = X
    for _ in range(3):
        expected = expected @ w.T + b
    torch.testing.assert_close(net.predict(X), expected)


def test_items_of_a_tuple_of_outputs():
    operators = {"split": Halves(), "left": Item(0), "right": Item(-1), "difference": Subtract()}
    connectivity = {"x": ["split"], "split": ["left", "right"], "left": ["difference"], "right": ["difference"]}
    net = Network(operators, connectivity)
    assert net.predict(X).equal(X[:, :1] - X[:, 1:])


def test_the_dictionaries_may_change_afterwards():
    operators, connectivity = {"a": Tanh()}, {"x": ["a"]}
    net = Network(operators, connectivity)
    operators["a"] = ReLU()
    connectivity["x"].append("b")
    assert net.predict(X).equal(X.tanh())


def test_a_chain_of_20_000_operators_runs_forward_and_backward():
    many = 20_000
    net = Network({k: Identity() for k in range(many)}, {"x": [0], **{k: [k + 1] for k in range(many - 1)}})
    assert net.forward(X)[many - 1].equal(X)
    assert net.backward({many - 1: Y})["x"].equal(Y)
    assert len(net.value_gradients) == many + 1


def test_the_graph_is_frozen_and_knows_the_sizes():
    net = Network({"fc": Linear(out_features=2)}, {"x": ["fc"]}, seed=0).build({"x": (3,)})
    assert net.graph.nodes["fc"]["operator"] == Linear(3, 2)
    with pytest.raises(networkx.NetworkXError, match=r"[Ff]rozen"):
        net.graph.remove_node("fc")
