import json
from dataclasses import dataclass

import pytest
import torch

from graphdl import (
    Buffer,
    Concat,
    CrossEntropyLoss,
    Feed,
    Item,
    LeakyReLU,
    Linear,
    MSELoss,
    Network,
    Operator,
    Shared,
    Subtract,
    Sum,
    Tanh,
    initializers,
    reads,
    register,
)
from graphdl.errors import SettingError

X = torch.linspace(-1, 1, 10).reshape(5, 2)


@register
@dataclass(frozen=True)
class Chunks(Operator):
    count: int = 2

    def buffers(self):
        return {"seen": Buffer((self.count,))}

    def forward(self, p, x, *, training):
        return tuple(x.chunk(self.count, 1)), None

    def backward(self, p, saved, dy):
        return (torch.cat(dy, 1),), {}


NETWORKS = {
    "strings": ({"a": Linear(2, 3), "b": LeakyReLU(0.3)}, {"x": ["a"], "a": ["b"]}),
    "integers": ({1: Linear(2, 3), 2: Tanh()}, {0: [1], 1: [2]}),
    "mixed keys": ({1: Tanh(), "1": Tanh(), "sum": Sum()}, {"x": [1, "1"], 1: ["sum"], "1": ["sum"]}),
    "implicit": ({1: Linear(2, 1)}, {1: []}),
    "nothing connected": ({"a": Tanh()}, {}),
    "slots": ({"d": Subtract(), "a": Tanh()}, {"x": [Feed("d", slot="subtrahend"), "a"], "a": [Feed("d", slot=0)]}),
    "gradients": ({"a": Tanh(), "s": Sum()}, {"x": ["a", Feed("s", gradient=-0.1)], "a": [Feed("s", gradient=0)]}),
    "parallel edges": ({"s": Concat()}, {"x": ["s", "s"]}),
    "reads": ({"a": Tanh(), "c": Concat(-1)}, reads({"a": ["x"], "c": ["a", "x"]})),
    "shared": ({"a": Linear(2, 2), "b": Shared("a"), "c": Shared("b")}, {"x": ["a"], "a": ["b"], "b": ["c"]}),
    "initializers": (
        {"a": Linear(2, 3, bias=initializers.Constant(0.5), weight=initializers.XavierNormal(2.0))},
        {"x": ["a"]},
    ),
    "losses": (
        {"a": Linear(2, 2, bias=False), "loss": MSELoss(weight=0.5), "other": CrossEntropyLoss(label_smoothing=0.1)},
        {"x": ["a"], "a": ["loss", "other"], "target": [Feed("loss", slot="target")]},
    ),
    "own operator": ({"c": Chunks(), "i": Item(1)}, {"x": ["c"], "c": ["i"]}),
}


@pytest.mark.parametrize("declared", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("by", ["dictionary", "json", "file"])
def test_a_network_comes_back_as_it_was(declared, by, tmp_path):
    net = Network(*declared, seed=0)
    if by == "file":
        found = Network.load(net.save(tmp_path / "net.json"), seed=0)
    else:
        data = net.to_dict() if by == "dictionary" else json.loads(json.dumps(net.to_dict()))
        found = Network.from_dict(data, seed=0)
    assert found.to_dict() == net.to_dict()
    assert dict(found.graph.nodes(data=True)) == dict(net.graph.nodes(data=True))
    assert list(found.graph.edges(data=True)) == list(net.graph.edges(data=True))
    assert (found.inputs, found.outputs, found.order) == (net.inputs, net.outputs, net.order)
    state = net.state_dict()
    assert {name: tensor.tolist() for name, tensor in found.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in state.items()
    }


def test_a_network_that_comes_back_predicts_the_same(tmp_path):
    net = Network(*NETWORKS["slots"])
    assert Network.load(net.save(tmp_path / "net.json")).predict(X).equal(net.predict(X))


def test_sizes_that_are_known_by_now_are_stored():
    net = Network({"a": Linear(out_features=3)}, {"x": ["a"]})
    assert net.to_dict()["operators"]["a"] == {"type": "Linear", "out_features": 3}
    net.predict(X)
    assert net.to_dict()["operators"]["a"] == {"type": "Linear", "in_features": 2, "out_features": 3}


def test_a_network_with_unknown_sizes_comes_back():
    found = Network.from_dict(Network({"a": Linear(out_features=3)}, {"x": ["a"]}).to_dict(), seed=0)
    assert found.predict(X).equal(Network({"a": Linear(2, 3)}, {"x": ["a"]}, seed=0).predict(X))


def test_an_operator_that_is_not_registered_has_no_place_in_a_file():
    class Own(Tanh):
        pass

    with pytest.raises(
        SettingError, match=r"^operators\['a'\]: a Own cannot be stored\. .* registered by @graphdl\.regi"
    ):
        Network({"a": Own()}, {"x": ["a"]}).to_dict()


def test_a_subclass_of_network_comes_back_as_itself(tmp_path):
    class Own(Network):
        pass

    net = Own({"a": Tanh()}, {"x": ["a"]})
    assert type(Own.from_dict(net.to_dict())) is Own
    assert type(Own.load(net.save(tmp_path / "net.json"))) is Own


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_save_takes_a_string_or_a_path_and_returns_the_path(kind, tmp_path):
    path = tmp_path / "net.json"
    assert Network({"a": Tanh()}, {"x": ["a"]}).save(kind(path)) == path
    assert Network.load(kind(path)).inputs == ("x",)


def test_seed_device_and_type_are_chosen_on_loading(tmp_path):
    path = Network({"a": Linear(2, 3)}, {"x": ["a"]}, seed=1).save(tmp_path / "net.json")
    found = Network.load(path, seed=7, dtype=torch.float64, device="cpu")
    expected = Network({"a": Linear(2, 3)}, {"x": ["a"]}, seed=7, dtype=torch.float64)
    assert found.parameters["a.weight"].equal(expected.parameters["a.weight"])
