from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional

from graphdl import (
    Constant,
    Feed,
    IndexSelect,
    Linear,
    MSELoss,
    Network,
    Operator,
    Product,
    Shared,
    Subtract,
    Sum,
    Tanh,
    Transpose,
    Weight,
    check_gradients,
    fit,
    initializers,
)
from graphdl.errors import ArityError, MissingInputError, SettingError, UnreachableError
from graphdl.optim import SGD, Adam
from graphdl.search import fit_all
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

CASES = [
    Case("weight", Weight((3, 2)), (), lambda p: p["weight"]),
    Case("weight-scalar", Weight((), initializers.Constant(0.5)), (), lambda p: p["weight"]),
    Case("constant-number", Constant(0.5), (), lambda p: p["value"]),
    Case("constant-filled", Constant(0.5, (2, 3)), (), lambda p: p["value"]),
    Case("constant-matrix", Constant(((1.0, 2.0), (3.0, -4.5))), (), lambda p: p["value"]),
    Case("constant-integers", Constant((2, 0, 1)), (), lambda p: p["value"]),
    Case("constant-booleans", Constant((True, False)), (), lambda p: p["value"]),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


SCALES = ((1.0, 2.0, 3.0, 4.0),)


def tied(shared, **settings):
    """A model of the vector of the next word: the table of vectors is read twice."""
    operators = {
        "table": Weight((7, 4)),
        "embed": IndexSelect(0),
        "fc": Linear(4, 4),
        "scale": Constant(SCALES),
        "times": Product(),
        "tanh": Tanh(),
        "wanted": IndexSelect(0),
        "difference": Subtract(),
        "loss": MSELoss(),
    }
    edges = {
        "table": ["embed"] if shared else ["embed", "wanted"],
        "word": ["embed"],
        "embed": ["fc"],
        "fc": ["times"],
        "scale": ["times"],
        "times": ["tanh"],
        "tanh": ["difference"],
        "next": [Feed("wanted", slot="index")],
        "wanted": ["difference"],
        "difference": ["loss"],
        "noise": ["loss"],
    }
    if shared:
        operators |= {"again": Shared("table")}
        edges |= {"again": [Feed("wanted", slot="input")]}
    return Network(operators, edges, **{"seed": 0, "dtype": torch.float64, **settings})


def tied_loss(table, weight, bias, data):
    hidden = functional.linear(table[data["word"]], weight, bias) * torch.tensor(SCALES, dtype=table.dtype)
    return functional.mse_loss(torch.tanh(hidden) - table[data["next"]], data["noise"])


def words(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = {name: torch.randint(7, (count,), generator=generator) for name in ("word", "next")}
    return found | {"noise": torch.randn(count, 4, generator=generator, dtype=torch.float64)}


NAMES = ("table.weight", "fc.weight", "fc.bias")


@pytest.mark.parametrize("shared", [False, True])
def test_the_gradients_of_all_readers_add_up(shared):
    net, data = tied(shared), words(40)
    net.forward(data)
    net.backward()
    leaves = [net.parameters[name].clone().requires_grad_() for name in NAMES]
    expected = torch.autograd.grad(tied_loss(*leaves, data), leaves)
    for name, gradient in zip(NAMES, expected, strict=True):
        torch.testing.assert_close(net.gradients[name], gradient, rtol=1e-12, atol=1e-12)
    assert check_gradients(net, data) < 1e-7


class Scores(Operator):
    """query (n, c), table (v, c) -> query table' (n, v)."""

    slots = ("query", "table")

    def forward(self, p, q, t, *, training):
        return q @ t.t(), (q, t)

    def backward(self, p, saved, dy):
        q, t = saved
        return (dy @ t, dy.t() @ q), {}


def test_a_tied_embedding_is_table_and_output_layer():
    operators = {"table": Weight((7, 4)), "embed": IndexSelect(0), "tanh": Tanh(), "scores": Scores()}
    edges = {"table": ["embed", Feed("scores", slot="table")], "word": ["embed"], "embed": ["tanh"], "tanh": ["scores"]}
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    word = torch.tensor([[1, 2, 0], [6, 1, 1]]).flatten()
    table = net.parameters["table.weight"].clone().requires_grad_()
    y = torch.tanh(table[word]) @ table.t()
    found = net.forward({"word": word})["scores"]
    torch.testing.assert_close(found, y.detach())
    dy = upstream(found)
    net.backward({"scores": dy})
    torch.testing.assert_close(net.gradients["table.weight"], torch.autograd.grad(y, table, dy)[0])


WAYS = {
    "replayed": {},
    "compiled": {"compile": True},
    "recomputed": {"recompute": ["table", "scale", "embed", "fc", "wanted"]},
    "clipped": {"clip_norm": 1e6},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shared", [False, True])
def test_training_is_that_of_torch_in_every_way(shared, way):
    net, data = tied(shared), words(32)
    leaves = [net.parameters[name].clone().requires_grad_() for name in NAMES]
    optimizer = torch.optim.Adam(leaves, lr=0.05)
    for _ in range(3):
        for start in range(0, 32, 8):
            optimizer.zero_grad()
            tied_loss(*leaves, {name: tensor[start : start + 8] for name, tensor in data.items()}).backward()
            optimizer.step()
    fit(net, data, optimizer=Adam(lr=0.05), epochs=3, batch_size=8, shuffle=False, progress=False, **WAYS[way])
    for name, leaf in zip(NAMES, leaves, strict=True):
        torch.testing.assert_close(net.parameters[name], leaf.detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shared", [False, True])
def test_networks_side_by_side_train_as_alone(shared):
    data = words(32)
    alone, together = ([tied(shared, seed=seed) for seed in range(3)] for _ in range(2))
    settings = {"epochs": 2, "batch_size": 8, "progress": False}
    for net in alone:
        fit(net, data, optimizer=Adam(lr=0.05), seed=1, compile=True, **settings)
    fit_all(together, data, optimizers=Adam(lr=0.05), seeds=1, backend="compiled", **settings)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_a_large_weight_trains_too():
    """A large parameter is updated as soon as its gradient is known, which here is that of its value."""
    operators = {"table": Weight((300, 400)), "embed": IndexSelect(0), "loss": MSELoss()}
    edges = {"table": ["embed"], "k": ["embed"], "embed": ["loss"], "y": ["loss"]}
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    before, k = net.parameters["table.weight"].clone(), torch.tensor([3, 299, 3, 0])
    y = torch.randn(4, 400, dtype=torch.float64)
    fit(net, {"k": k, "y": y}, optimizer=SGD(lr=2.0), epochs=1, batch_size=4, shuffle=False, progress=False)
    expected = before.index_add(0, k, -2.0 * 2 * (before[k] - y) / y.numel())
    torch.testing.assert_close(net.parameters["table.weight"], expected)


def test_gradients_of_different_weights_are_different_tensors():
    net = Network({"a": Weight((1, 3)), "b": Weight((1, 3)), "sum": Sum()}, {"a": ["sum"], "b": ["sum"]}, seed=0)
    net.backward({"sum": torch.ones_like(net.forward({})["sum"])})
    net.gradients["a.weight"].mul_(2)
    assert net.gradients["a.weight"].tolist() == [[2, 2, 2]]
    assert net.gradients["b.weight"].tolist() == net.value_gradients["b"].tolist() == [[1, 1, 1]]


def test_nothing_is_written_over_a_weight():
    edges = {"a": ["sum"], "x": ["sum"], "sum": ["loss"], "y": ["loss"]}
    net = Network({"a": Weight((4, 3)), "sum": Sum(), "loss": MSELoss()}, edges, seed=0)
    before = net.state_dict()
    net.predict(torch.ones(4, 3))
    fit(
        net,
        {"x": torch.ones(4, 3), "y": torch.ones(4, 3)},
        optimizer=SGD(lr=0.0),
        epochs=6,
        batch_size=4,
        progress=False,
    )
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_a_network_without_inputs():
    net = Network({"w": Weight((2, 3)), "turned": Transpose(0, 1)}, {"w": ["turned"]}, seed=0)
    assert (net.inputs, net.outputs, net.order) == ((), ("turned",), ("w", "turned"))
    assert torch.equal(net.predict({}), net.parameters["w.weight"].t())
    assert net.shapes({}) == {"w": (2, 3), "turned": (3, 2)}
    assert net.build({}).part(inputs=["w"], outputs=["turned"]).inputs == ("w",)
    with pytest.raises(MissingInputError, match=r"A tensor was given, and no input is needed\. Give .* \{\}\."):
        net.predict(torch.zeros(2, 3))


def test_first_values():
    weight = Network({"w": Weight((500, 40))}, {}, seed=0).parameters["w.weight"]
    assert weight.mean().item() == pytest.approx(0, abs=0.03)
    assert weight.std().item() == pytest.approx(1, abs=0.02)
    net = Network({"w": Weight((2,), initializers.Constant(3)), "c": Constant(2.5, (1, 2))}, {"w": [], "c": []})
    assert net.parameters["w.weight"].tolist() == [3, 3]
    assert net.buffers["c.value"].tolist() == [[2.5, 2.5]]


def test_types_of_constants():
    operators = {"half": Constant(0.5), "one": Constant(1), "yes": Constant(True), "mixed": Constant((1, 2.5))}
    net = Network(operators, {key: [] for key in operators}, dtype=torch.float64)
    types = {name: tensor.dtype for name, tensor in net.buffers.items()}
    assert types == {
        "half.value": torch.float64,
        "one.value": torch.int64,
        "yes.value": torch.bool,
        "mixed.value": torch.float64,
    }
    assert {tensor.dtype for tensor in net.to(dtype=torch.float32).buffers.values()} == {
        torch.float32,
        torch.int64,
        torch.bool,
    }


def test_a_frozen_weight_stays_and_a_constant_has_no_gradient():
    net, data = tied(shared=True), words(8)
    net.freeze("table")
    net.forward(data)
    net.backward()
    assert [*net.gradients] == ["fc.weight", "fc.bias"]
    assert "again.weight" not in net.parameters


def test_files_tell_the_constant_of_a_node_from_the_initializer():
    operators = {"w": Weight((2,), initializers.Constant(3.0)), "c": Constant(((1, 2), (3, 4))), "d": Constant(-1.5)}
    net = Network(operators, {key: [] for key in operators})
    stored = json.loads(json.dumps(net.to_dict()))
    assert stored["operators"]["w"]["initializer"] == {"type": "Constant", "value": 3.0}
    assert stored["operators"]["c"] == {"type": "Constant", "value": [[1, 2], [3, 4]]}
    assert Network.from_dict(stored).operators == operators


def test_shapes_in_summaries_and_diagrams_have_no_batch_axis(tmp_path):
    net = tied(shared=True).build({"word": (), "next": (), "noise": (4,)})
    rows = {line.split()[0]: line for line in net.summary().splitlines()}
    assert "(7, 4)" in rows["table"]
    assert "(1, 4)" in rows["scale"]
    assert "(n, 4)" in rows["embed"]
    assert "= table" in rows["again"]
    source = net.diagram().source
    assert "7×4" in source
    assert net.part(inputs=["word"], outputs=["tanh"]).inputs == ("word",)
    assert "1×4" in source
    turned = Network({"w": Weight((2, 3)), "turned": Transpose(0, 1)}, {"w": ["turned"]}).build({})
    assert "(3, 2)" in turned.summary()


def test_cost_counts_a_weight_once():
    cost = tied(shared=True, dtype=torch.float32).cost({"word": (8,), "next": (8,), "noise": (8, 4)}, Adam(lr=1e-3))
    assert (cost.nodes["table"].parameters, cost.nodes["again"].parameters) == (7 * 4 * 4, 0)
    assert cost.buffers == 16


def test_mistakes_in_the_graph():
    with pytest.raises(ArityError, match=r"^w \(Weight\) reads no input and is fed by x: remove the edge"):
        Network({"w": Weight((2,))}, {"x": ["w"]})
    with pytest.raises(UnreachableError, match=r"^w is in operators but not in connectivity"):
        Network({"w": Weight((2,)), "fc": Linear(2, 2)}, {"x": ["fc"]})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Weight(3), r"Weight: shape must be a tuple of sizes, such as \(1, 3\), not 3"),
        (lambda: Weight((2, -1)), r"Weight: shape must be a tuple of sizes, .* not \(2, -1\)"),
        (lambda: Weight((2,), 1.0), "Weight: initializer must be an initializer such as .*, not 1.0"),
        (lambda: Constant("1"), "Constant: value must be a number, or nested tuples of numbers of a regular shape"),
        (lambda: Constant(((1, 2), (3,))), r"Constant: value must be .* not \(\(1, 2\), \(3,\)\)"),
        (lambda: Constant((1, (2,))), r"Constant: value must be .* not \(1, \(2,\)\)"),
        (lambda: Constant([1.0]), r"Constant: value must be .* not \[1\.0\]"),
        (
            lambda: Constant((1.0,), (1,)),
            r"Constant: shape \(1,\) fills a tensor with one number, but value is a tuple",
        ),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


def test_texts():
    assert (Weight((7, 4)).describe(), Weight(()).describe()) == ("7×4", "scalar")
    assert (Constant(-math.inf).describe(), Constant(0.5, (2, 3)).describe()) == ("-inf", "0.5, 2×3")
    assert (Constant((1, 2.5)).describe(), Constant(SCALES * 2).describe()) == ("1, 2.5", "2×4")
    assert Weight.family == Constant.family == "leaf"
