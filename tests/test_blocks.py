"""Networks with blocks: the same numbers, in all ways, as the networks without them that have the same names."""

import copy
import itertools
import json
import pickle
from dataclasses import replace

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Block,
    Dropout,
    Feed,
    Flatten,
    Linear,
    MSELoss,
    Network,
    ReLU,
    Residual,
    Sequential,
    Shared,
    Subtract,
    Sum,
    Tanh,
    fit,
)
from graphdl.errors import FileFormatError, SettingError, ShapeError, UnknownNodeError
from graphdl.optim import L2, SGD, Adam

LAYER = Residual(fc=Linear(4, 4), norm=BatchNorm1d(4), act=Tanh(), drop=Dropout(0.2))
NESTED = (
    {
        "enc": Sequential(Linear(out_features=4), LAYER, LAYER),
        "twin": Shared("enc/2"),
        "head": Sequential(act=ReLU(), fc=Linear(4, 2)),
        "loss": MSELoss(),
    },
    {"x": ["enc"], "enc": [Feed("twin", gradient=0.5)], "twin": ["head"], "head": ["loss"], "y": ["loss"]},
)


def layer(name, owner=None):
    nodes = {"fc": Linear(4, 4), "norm": BatchNorm1d(4), "act": Tanh(), "drop": Dropout(0.2), "sum": Sum()}
    return {f"{name}/{key}": each if owner is None else Shared(f"{owner}/{key}") for key, each in nodes.items()}


def chain(name):
    keys = [f"{name}/{key}" for key in ("fc", "norm", "act", "drop", "sum")]
    return {key: [after] for key, after in itertools.pairwise(keys)}


FLAT = (
    {
        "enc/0": Linear(out_features=4),
        **layer("enc/1"),
        **layer("enc/2"),
        **layer("twin", "enc/2"),
        **{"head/act": ReLU(), "head/fc": Linear(4, 2), "loss": MSELoss()},
    },
    {
        "x": ["enc/0"],
        "enc/0": ["enc/1/sum", "enc/1/fc"],
        **chain("enc/1"),
        "enc/1/sum": ["enc/2/sum", "enc/2/fc"],
        **chain("enc/2"),
        "enc/2/sum": [Feed("twin/sum", gradient=0.5), Feed("twin/fc", gradient=0.5)],
        **chain("twin"),
        **{"twin/sum": ["head/act"], "head/act": ["head/fc"], "head/fc": ["loss"], "y": ["loss"]},
    },
)
DATA = {"x": torch.randn(24, 3, generator=torch.Generator().manual_seed(1)), "y": torch.ones(24, 2)}


def both():
    return Network(*NESTED, seed=3), Network(*FLAT, seed=3)


def assert_equal(left, right):
    assert list(left) == list(right)
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_passes():
    nested, flat = both()
    assert_equal(nested.forward(DATA), flat.forward(DATA))
    assert_equal(nested.backward(), flat.backward())
    assert_equal(nested.gradients, flat.gradients)
    assert_equal(nested.values, flat.values)
    assert_equal(nested.state_dict(), flat.state_dict())
    assert nested.order == flat.order
    assert nested.inputs == flat.inputs
    assert repr(nested) == repr(flat)


@pytest.mark.parametrize("compiled", [False, True])
def test_training(compiled):
    trained = []
    for net, whole in zip(both(), ("enc/1", "enc/1/*"), strict=True):
        optimizer = Adam(lr=0.01, nodes={whole: {"lr": 0.1}, "*.bias": {"lr": 0.02}})
        settings = {"epochs": 2, "batch_size": 6, "compile": compiled, "progress": False}
        history = fit(net, DATA, optimizer=optimizer, penalties=[L2(0.1, nodes=(whole,))], **settings)
        trained.append((history["loss"], net))
    assert trained[0][0] == trained[1][0]
    assert_equal(trained[0][1].state_dict(), trained[1][1].state_dict())


def test_a_block_by_its_key_means_its_nodes_where_nodes_are_chosen():
    nested, flat = both()
    nested.freeze("enc")
    assert nested.engine.frozen == {key for key in flat.operators if key.startswith("enc/")}
    nested.unfreeze("enc/1", "enc/0")
    assert nested.engine.frozen == set(layer("enc/2"))
    nested.unfreeze("twin")
    assert nested.engine.frozen == set()
    for net, chosen in ((nested, ["enc/1", "head"]), (flat, [*layer("enc/1"), "head/act", "head/fc"])):
        fit(net, DATA, optimizer=SGD(lr=0.1), epochs=1, batch_size=6, recompute=chosen, progress=False)
    assert_equal(nested.state_dict(), flat.state_dict())
    costs = [net.cost({"x": (8, 3), "y": (8, 2)}, recompute=["enc"]).peak for net in both()]
    assert costs[0] == costs[1]
    with pytest.raises(UnknownNodeError, match="no operator 'encoder'"):
        nested.freeze("encoder")
    with pytest.raises(UnknownNodeError, match="Did you mean 'enc'"):
        nested.freeze("encd")


def test_a_name_that_is_a_node_means_that_node_only():
    net = Network(
        {"res": Linear(2, 2), "res/fc": Linear(2, 2), "loss": MSELoss()},
        {"x": ["res"], "res": ["res/fc"], "res/fc": ["loss"], "y": ["loss"]},
        seed=0,
    )
    assert net.freeze("res").engine.frozen == {"res"}
    net.unfreeze("res")
    before = net.state_dict()
    fit(
        net,
        torch.ones(4, 2),
        torch.zeros(4, 2),
        optimizer=SGD(lr=0.1, nodes={"res": {"lr": 0.0}}),
        epochs=1,
        batch_size=4,
    )
    same = {name: torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items()}
    assert same == {"res.weight": True, "res.bias": True, "res/fc.weight": False, "res/fc.bias": False}


def test_recomputing_a_block_leaves_out_its_losses():
    nets = []
    for chosen in (["net"], ["net/0", "net/1"], []):
        net = Network({"net": Sequential(Linear(2, 2), Tanh(), MSELoss())}, {"x": ["net"]}, seed=0)
        data = {"x": torch.ones(4, 2), "net/2": torch.zeros(4, 2)}
        fit(net, data, optimizer=SGD(lr=0.1), epochs=2, batch_size=2, recompute=chosen, progress=False)
        nets.append(net.state_dict())
    assert_equal(nets[0], nets[1])
    assert_equal(nets[0], nets[2])


def test_a_block_by_its_key_means_its_output_where_a_value_is_wanted():
    nested, flat = both()
    x = DATA["x"]
    assert torch.equal(nested.predict(x, outputs=["enc"]), flat.predict(x, outputs=["enc/2/sum"]))
    assert list(nested.predict(x, outputs=["enc", "enc/1/fc", "head"])) == ["enc", "enc/1/fc", "head"]
    for net, key in ((nested, "enc"), (flat, "enc/2/sum")):
        net.forward(DATA)
        net.backward({key: torch.ones(24, 4)})
    assert_equal(nested.gradients, flat.gradients)
    assert nested.values["enc"] is nested.values["enc/2/sum"]
    assert nested.value_gradients["enc"] is nested.value_gradients["enc/2/sum"]
    part, other = nested.part(["enc"], ["head"]), flat.part(["enc/2/sum"], ["head/fc"])
    assert part.order == other.order
    assert part.inputs == ("enc/2/sum",)
    assert part.outputs == ("head/fc",)
    assert part.parameters["head/fc.weight"] is nested.parameters["head/fc.weight"]
    part.freeze("head")
    several = Network({"b": Block({"p": Tanh(), "q": Tanh()}, {"x": ["p", "q"]})}, {"x": ["b"]})
    with pytest.raises(UnknownNodeError, match=r"the block b has several outputs, 'b/p' and 'b/q': name one of them"):
        several.predict(x, outputs=["b"])
    assert list(several.predict(x)) == ["b/p", "b/q"]


def test_files_and_copies_keep_the_blocks():
    net = Network(*NESTED, seed=3)
    net.forward(DATA)
    assert net.operators["enc"].operators["0"] == Linear(3, 4)  # with the inferred size
    assert net.operators["head"] is NESTED[0]["head"]
    assert net.operators["twin"] == Shared("enc/2")
    stored = json.loads(json.dumps(net.to_dict()))
    again = Network.from_dict(stored, seed=3)
    assert again.operators == net.operators
    assert again.connectivity == net.connectivity
    assert again.to_dict() == stored
    assert stored["operators"]["head"] == {
        "type": "Block",
        "operators": {"act": {"type": "ReLU"}, "fc": {"type": "Linear", "in_features": 4, "out_features": 2}},
        "connectivity": {"input": ["act"], "act": ["fc"]},
        "inputs": ["input"],
    }
    net.freeze("enc")
    for copied in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert copied.operators == net.operators
        assert copied.engine.frozen == net.engine.frozen
        assert_equal(copied.state_dict(), net.state_dict())
        assert torch.equal(copied.forward(DATA)["loss"], copy.deepcopy(net).forward(DATA)["loss"])


def test_integer_keys_in_files(tmp_path):
    block = Block({0: Subtract(), 1: Tanh()}, {"a": [Feed(0, 1)], "b": [0], 0: [1]}, inputs=["b", "a"], outputs=[1])
    net = Network({7: block, "end": Tanh()}, {"x": [7], "y": [7], "7/0": ["end"]}, seed=0)
    net.save(tmp_path / "net.json")
    again = Network.load(tmp_path / "net.json")
    assert again.operators == net.operators
    assert again.connectivity == net.connectivity
    assert [type(key) for key in again.operators[7].operators] == [int, int]


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (
            {"type": "Block", "operators": {"a": {"type": "Tanh"}}},
            r"'b'\], \"connectivity\" is None|\"connectivity\" is None",
        ),
        (
            {"type": "Block", "operators": {"a": {"type": "Tenh"}}, "connectivity": {}},
            r"\['b'\], operators\['a'\]: 'Tenh'",
        ),
        (
            {"type": "Block", "operators": {"a": {"type": "Tanh"}}, "connectivity": {"a": ["c"]}},
            "In a Block: a feeds 'c'",
        ),
        (
            {"type": "Block", "operators": {"a": {"type": "Tanh"}}, "connectivity": {}, "input": ["a"]},
            "Block has no setting 'input'. Did you mean 'inputs'",
        ),
    ],
)
def test_files_with_wrong_blocks(stored, text):
    whole = {"format": "graphdl", "version": 1, "operators": {}, "connectivity": {"b": []}}
    whole["operators"]["b"] = {"type": "Block", **stored}
    with pytest.raises(FileFormatError, match=text):
        Network.from_dict(whole)


def test_sequential():
    net = Network({"net": Sequential(Linear(2, 3), Tanh(), last=Linear(3, 1))}, {"net": []}, seed=0)
    assert net.inputs == ("net/input",)
    assert net.order == ("net/input", "net/0", "net/1", "net/last")
    assert net.predict(torch.ones(4, 2)).shape == (4, 1)
    torch_net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh())
    named = Network({"net": Sequential(Linear(2, 3), Tanh())}, {"x": ["net"]})
    named.load_state_dict({f"net/{name}": tensor for name, tensor in torch_net.state_dict().items()})
    x = torch.randn(5, 2)
    assert torch.allclose(named.predict(x), torch_net(x))
    with_loss = Network({"net": Sequential(fc=Linear(2, 1), loss=MSELoss())}, {"x": ["net"]})
    assert with_loss.inputs == ("x", "net/loss")
    assert with_loss.losses == ("net/loss",)


def test_residual():
    x = torch.randn(5, 4)
    net = Network(
        {"r": Residual(Linear(4, 4), ReLU()), "s": Residual(ReLU(), shortcut=Linear(4, 4))}, {"x": ["r"], "r": ["s"]}
    )
    assert net.order == ("x", "r/0", "r/1", "r/sum", "s/0", "s/shortcut", "s/sum")
    assert [u for u, _ in net.graph.in_edges("r/sum")] == ["x", "r/1"]  # the input comes first
    assert [u for u, _ in net.graph.in_edges("s/sum")] == ["s/shortcut", "s/0"]
    y = x + torch.relu(x @ net.parameters["r/0.weight"].T + net.parameters["r/0.bias"])
    assert torch.allclose(net.predict(x, outputs=["r"]), y, atol=1e-6)
    z = y @ net.parameters["s/shortcut.weight"].T + net.parameters["s/shortcut.bias"] + torch.relu(y)
    assert torch.allclose(net.predict(x), z, atol=1e-6)
    deep = Network({"r": Residual(Residual(Tanh()), shortcut=Sequential(Tanh(), Tanh()))}, {"x": ["r"]})
    assert torch.allclose(deep.predict(x), x + x.tanh() + x.tanh().tanh())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (Sequential, "^Sequential is empty"),
        (Residual, "^Residual is empty"),
        (lambda: Sequential(input=Tanh()), "^Sequential: 'input' is the name"),
        (lambda: Residual(sum=Tanh()), "^Residual: 'sum' is the name"),
        (lambda: Sequential(Tanh), "the class Tanh"),
    ],
)
def test_errors_of_sequential_and_residual(make, text):
    with pytest.raises(SettingError, match=text):
        make()


def test_errors_name_the_full_path():
    with pytest.raises(SettingError, match=r"^operators\['a/0/1'\] is a "):
        Network({"a": Sequential(Sequential(Tanh(), Fake()))}, {"a": []})
    net = Network({"a": Sequential(Flatten(), Linear(4, 1))}, {"x": ["a"]})
    with pytest.raises(ShapeError, match=r"a/1 \(Linear"):
        net.predict(torch.ones(2, 2))
    with pytest.raises(ShapeError, match=r"^a/1 \(Linear\) cannot take its inputs: the one from a/0 \(Linear\)"):
        Network({"a": Sequential(Linear(2, 3), Linear(4, 1))}, {"x": ["a"]})


class Fake:
    slots = ("input",)


def test_a_block_is_edited_like_other_data():
    net = Network(*NESTED, seed=3)
    head = replace(net.operators["head"], operators={**net.operators["head"].operators, "act": Tanh()})
    edited = Network({**net.operators, "head": head}, net.connectivity, seed=3)
    assert edited.graph.nodes["head/act"]["operator"] == Tanh()


def test_the_summary_has_totals_by_block():
    net = Network(*NESTED, seed=3)
    net.forward(DATA)
    lines = net.summary().splitlines()
    assert lines[-6:-1] == [
        "enc: 11 operators, 72 parameters",
        "  enc/1: 5 operators, 28 parameters",
        "  enc/2: 5 operators, 28 parameters",
        "twin: 5 operators, 0 parameters",
        "head: 2 operators, 10 parameters",
    ]


def test_diagrams_frame_blocks_and_fold_equal_ones():
    layers = {f"layer{k}": Residual(fc=Linear(4, 4), act=ReLU()) for k in range(8)}
    feeds = {key: [after] for key, after in zip(["x", *layers], layers, strict=False)}
    source = Network(layers, feeds).diagram().source
    assert "×8" in source
    assert "space:layer0" in source
    assert "layer3" not in source
