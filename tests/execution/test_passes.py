from __future__ import annotations

import weakref
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from graphdl import (
    Concat,
    Feed,
    Identity,
    Linear,
    Mean,
    MSELoss,
    Network,
    Operator,
    Product,
    Shared,
    Subtract,
    Sum,
    Tanh,
)
from graphdl.errors import GraphDLError
from graphdl.initializers import Zeros
from graphdl.operators import GRU, LSTM, Item, Parameter
from graphdl.operators.recurrence import stacked
from tests.execution.walks import walk_backward, walk_forward
from tests.operators.case import upstream


def small(**settings):
    operators = {"a": Linear(3, 4), "t": Tanh(), "b": Linear(4, 2), "loss": MSELoss()}
    connectivity = {"x": ["a"], "a": ["t"], "t": ["b"], "b": ["loss"], "y": ["loss"]}
    return Network(operators, connectivity, seed=0, dtype=torch.float64, **settings)


def batch():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(5, k, generator=generator, dtype=torch.float64) for name, k in (("x", 3), ("y", 2))}


def passes(net, inputs, keep):
    plan = net.engine.plan(net.outputs)
    parameters = net.engine.store.by_node
    trace = walk_forward(plan, parameters, inputs, keep_values=keep)
    starts = net.engine.loss_starts(plan, trace.values)
    backward = net.engine.backward_plan(plan, net.losses, net.inputs)
    return plan, trace, walk_backward(backward, parameters, trace, starts, keep=keep)


def test_values_are_freed_unless_they_are_kept():
    net = small()
    plan, trace, found = passes(net, batch(), keep=False)
    kept = {key for key, i in plan.index.items() if trace.values[i] is not None}
    assert kept == {"loss"}
    assert all(saved is None for saved in trace.saved)
    assert {name for name, i in plan.inputs.items() if found.values[i] is not None} == {"x", "y"}
    assert all(found.values[plan.index[key]] is None for key in ("a", "t", "b", "loss"))
    plan, trace, found = passes(net, batch(), keep=True)
    assert all(value is not None for value in (*trace.values[:-1], *trace.saved, *found.values[:-1]))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("operator", [LSTM(3, 4, num_layers=2, bidirectional=True), GRU(3, 4, num_layers=2)])
def test_layers_of_a_recurrent_operator_are_freed_one_by_one_unless_they_are_kept(operator, keep, monkeypatch):
    usual, kept, freed = stacked.run_back, [], []

    def run_back(recurrence, w, layer, *others):
        freed.append(sum(each() is None for each in kept))
        kept.append(weakref.ref((layer.made or layer.kept)[-1]))
        return usual(recurrence, w, layer, *others)

    monkeypatch.setattr(stacked, "run_back", run_back)
    operators, connectivity = {"rnn": operator, "y": Item(0), "l": MSELoss()}, {"rnn": ["y"], "y": ["l"], "t": ["l"]}
    net = Network(operators, connectivity, seed=0)
    width = 8 if operator.bidirectional else 4
    passes(net, {"rnn": torch.randn(5, 2, 3), "t": torch.randn(5, 2, width)}, keep)
    before = [0, 0, 2, 2] if operator.bidirectional else [0, 1]
    assert freed == ([0] * len(before) if keep else before)


def test_both_ways_find_the_same():
    net = small()
    _, _, freed = passes(net, batch(), keep=False)
    plan, _, kept = passes(net, batch(), keep=True)
    for name in net.inputs:
        assert torch.equal(freed.values[plan.inputs[name]], kept.values[plan.inputs[name]])
    assert freed.parameters.keys() == kept.parameters.keys() == {"a", "b"}
    for key, gradients in freed.parameters.items():
        assert all(torch.equal(gradient, kept.parameters[key][name]) for name, gradient in gradients.items())


@dataclass(frozen=True)
class Remembers(Operator):
    """Doubles, and keeps weak references to its values; counts those alive at every step."""

    alive: object
    made: object

    def forward(self, p, x, *, training):
        y = x * 2
        self.made.append(weakref.ref(y))
        self.alive.append(sum(ref() is not None for ref in self.made))
        return y, None

    def backward(self, p, saved, dy):
        dx = dy * 2
        self.made.append(weakref.ref(dx))
        self.alive.append(sum(ref() is not None for ref in self.made))
        return (dx,), {}


def long_chain(count, operator):
    operators = dict.fromkeys(range(count), operator)
    return Network(operators, {a: [b] for a, b in pairwise(["x", *operators])}, dtype=torch.float64)


def test_a_long_chain_holds_two_values_at_a_time():
    alive, made = [], []
    net = long_chain(50, Remembers(alive, made))
    plan = net.engine.full_plan
    x = torch.ones(2, dtype=torch.float64)
    trace = walk_forward(plan, net.engine.store.by_node, {"x": x})
    assert max(alive) == 2
    start = {plan.index[49]: trace.values[plan.index[49]]}
    del trace.values[:], alive[:], made[:]
    trace.values = [None] * plan.size
    backward = net.engine.backward_plan(plan, (49,), ["x"])
    found = walk_backward(backward, net.engine.store.by_node, trace, start)
    assert max(alive) <= 2
    assert found.values[plan.inputs["x"]].tolist() == [2.0**100] * 2


def test_what_is_recorded_stays():
    alive, made = [], []
    net = long_chain(10, Remembers(alive, made))
    net.forward({"x": torch.ones(2)})
    net.backward({9: torch.ones(2)})
    assert alive[-1] == 20
    assert set(net.values) == {"x", *range(10)} == set(net.value_gradients)


def test_prediction_saves_nothing_and_records_nothing():
    net = small()
    net.predict({"x": batch()["x"]})
    assert net.values == net.value_gradients == net.gradients == {}
    plan = net.engine.plan(net.predictions)
    inputs = {"x": batch()["x"]}
    trace = walk_forward(plan, net.engine.store.by_node, inputs, training=False, saving=())
    assert trace.saved == [None] * len(plan.steps)


def test_passes_are_pure():
    net, inputs = small(), batch()
    given = [*inputs.values(), *net.parameters.values(), net.engine.store.flat]
    before, versions = [tensor.clone() for tensor in given], [tensor._version for tensor in given]
    first = net.forward(inputs)["loss"], net.backward(), dict(net.gradients)
    for _ in range(2):
        second = net.forward(inputs)["loss"], net.backward(), dict(net.gradients)
        assert torch.equal(first[0], second[0])
        for a, b in zip(first[1:], second[1:], strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a)
    assert [tensor._version for tensor in given] == versions
    assert all(map(torch.equal, given, before))


def test_backward_may_be_called_again_and_does_not_accumulate():
    net = small()
    net.forward(batch())
    first, gradients = net.backward(), dict(net.gradients)
    second = net.backward()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(gradients[name], net.gradients[name]) for name in gradients)


VIEWS = {
    "identity": [Identity(), Identity(), Identity(), Identity()],
    "sum": [Sum(), Identity(), Sum(), Identity()],
    "mixed": [Identity(), Mean(), Tanh(), Sum()],
}


@pytest.mark.parametrize("operators", VIEWS.values(), ids=VIEWS)
def test_accumulation_writes_into_nobody_s_gradient(operators):
    """Every consumer of `a` hands back a view, or the very tensor, of another's gradient."""
    nodes = {"a": Tanh(), **dict(enumerate(operators)), "cat": Concat(), "sum": Sum(), "less": Subtract()}
    edges = {"x": ["a"], "a": [0, 1, 2, 3, "cat", "cat", "sum", "less", "sum"], 0: ["cat"], 1: ["sum"], 2: ["less"]}
    net = Network(nodes, edges, dtype=torch.float64)
    outputs = net.forward(torch.randn(4, 3, dtype=torch.float64))
    given = {key: upstream(value, seed) for seed, (key, value) in enumerate(outputs.items())}
    copies = {key: gradient.clone() for key, gradient in given.items()}
    sent = net.backward(given)
    assert all(torch.equal(given[key], copies[key]) for key in given)
    assert all(torch.equal(net.value_gradients[key], copies[key]) for key in given)
    columns = copies["cat"].split(3, 1)
    assert torch.equal(net.value_gradients[0], columns[2])
    total = columns[0] + columns[1] + 2 * copies["sum"] + copies["less"]
    for k, operator in enumerate(operators):
        dy = net.value_gradients[k]
        total = total + (dy * (1 - net.values[k] ** 2) if isinstance(operator, Tanh) else dy)
    torch.testing.assert_close(net.value_gradients["a"], total)
    torch.testing.assert_close(sent["x"], total * (1 - net.values["a"] ** 2))


def test_a_start_above_another_start_adds_up_and_stays_as_given():
    net = Network({"a": Tanh(), "b": Identity()}, {"x": ["a"], "a": ["b"]}, dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    net.forward(x)
    above, below = torch.full_like(x, 2), torch.full_like(x, 3)
    sent = net.backward({"a": above, "b": below})
    torch.testing.assert_close(sent["x"], 5 * (1 - torch.tanh(x) ** 2))
    assert (above.unique().item(), below.unique().item()) == (2, 3)


@dataclass(frozen=True)
class Bias(Operator):
    """x + b (n, c), whose gradient of b is dy itself."""

    def parameters(self):
        return {"b": Parameter((4, 3), Zeros())}

    def forward(self, p, x, *, training):
        return x + p["b"], None

    def backward(self, p, saved, dy):
        return (dy,), {"b": dy}


def test_gradients_of_shared_parameters_add_up_in_a_tensor_of_their_own():
    operators = {"a": Bias(), "b": Shared("a"), "c": Shared("b")}
    net = Network(operators, {"x": ["a", "b"], "b": ["c"]}, dtype=torch.float64)
    outputs = net.forward(torch.zeros(4, 3))
    given = {key: upstream(value, seed) for seed, (key, value) in enumerate(outputs.items())}
    copies = {key: gradient.clone() for key, gradient in given.items()}
    net.backward(given)
    torch.testing.assert_close(net.gradients["a.b"], copies["a"] + 2 * copies["c"])
    assert all(torch.equal(given[key], copies[key]) for key in given)


def test_consumers_that_disagree_about_the_shape_are_told():
    @dataclass(frozen=True)
    class Odd(Operator):
        def forward(self, p, x, *, training):
            return x, None

        def backward(self, p, saved, dy):
            return (dy[:, :2],), {}

    net = Network({"a": Tanh(), "b": Odd(), "c": Identity()}, {"x": ["a"], "a": ["b", "c"]})
    net.forward(torch.zeros(4, 3))
    with pytest.raises(
        GraphDLError, match=r"^b \(Odd\): its backward returned a gradient of the shape \(4, 2\) for its input from a"
    ):
        net.backward({"b": torch.ones(4, 3), "c": torch.ones(4, 3)})


def test_twenty_thousand_operators_agree_with_autograd():
    count, kinds = 20_000, (Tanh(), Identity(), Product(), Sum())
    operators = {k: kinds[k % 4] for k in range(count)}
    edges = {a: [b] for a, b in pairwise(["x", *operators])}
    edges["x"] += [k for k in operators if k % 4 == 3]  # keeps the chain from dying out
    net = Network(operators, edges, dtype=torch.float64)
    x = torch.randn(2, 3, dtype=torch.float64)
    expected = x.clone().requires_grad_()
    y = expected
    for k in range(count):
        y = torch.tanh(y) if k % 4 == 0 else y + expected if k % 4 == 3 else y
    dy = upstream(y.detach())
    y.backward(dy)
    torch.testing.assert_close(net.forward(x)[count - 1], y.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(net.backward({count - 1: dy})["x"], expected.grad, rtol=1e-10, atol=1e-10)


def test_a_stopped_edge_is_no_path():
    net = Network({"a": Tanh(), "b": Sum()}, {"x": ["a"], "a": [Feed("b", gradient=0)], "z": ["b"]})
    net.forward({"x": torch.ones(2, 2), "z": torch.ones(2, 2)})
    assert set(net.backward({"b": torch.ones(2, 2)})) == {"z"}
    assert set(net.value_gradients) == {"b", "z"}
