"""Gradients with recomputed nodes are those without, bit for bit, in less memory."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphdl import (
    BatchNorm1d,
    BatchNorm2d,
    Buffer,
    Concat,
    Conv2d,
    Dropout,
    Feed,
    Flatten,
    Item,
    Linear,
    MSELoss,
    Network,
    Operator,
    ReLU,
    Shared,
    Sum,
    Tanh,
)
from graphdl.errors import SettingError, UnknownNodeError
from graphdl.execution import passes
from graphdl.execution.recompute import make_recomputation
from graphdl.execution.training_passes import TrainingPasses
from graphdl.graph import check_recompute
from graphdl.optim import SGD, Adam
from tests.execution.drawn_graphs import networks
from tests.execution.walks import walk_backward, walk_forward


class Step:
    """A training step as TrainingStep makes it, with nodes that are recomputed."""

    def __init__(self, net, optimizer, recompute):
        engine = net.engine
        self.engine, self.stepper = engine, optimizer.bind(net)
        self.plan = engine.plan(engine.losses)
        backward = engine.backward_plan(self.plan, engine.losses)
        nodes = check_recompute(net.graph, net.losses, recompute)
        self.recomputation = make_recomputation(backward, nodes)
        owners = [owner for _, owner in backward.training]
        together = {owner for owner in owners if owners.count(owner) > 1}
        moves = self.stepper.moves(backward.owners, together=together)
        self.run = TrainingPasses(backward, engine.store.by_node, engine.chance, moves, self.recomputation)

    @torch.inference_mode()
    def __call__(self, inputs):
        trace = self.run.forward(inputs)
        losses = [trace.values[self.plan.index[key]].clone() for key in self.engine.losses]
        self.stepper.count_step()
        self.run.backward(trace, self.engine.loss_starts(self.plan, trace.values))
        assert all(saved is None for k, saved in enumerate(trace.saved) if k in self.recomputed)
        return losses

    @property
    def recomputed(self):
        return self.recomputation.positions if self.recomputation else ()


def assert_same_steps(net, inputs, recompute, optimizer=None, steps=3):
    """Steps with and without, on two copies of a network: losses, parameters and buffers."""
    other = copy.deepcopy(net)
    plain, again = Step(net, optimizer or SGD(lr=0.1), ()), Step(other, optimizer or SGD(lr=0.1), recompute)
    for _ in range(steps):
        for a, b in zip(plain(inputs), again(inputs), strict=True):
            assert torch.equal(a, b) or (a.isnan() == b.isnan()).all()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)
    return again


@pytest.mark.filterwarnings("ignore::graphdl.errors.GraphDLWarning")  # what is drawn has no purpose
@given(drawn=networks(losses=2), data=st.data())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_random_networks_train_alike(drawn, data):
    net = drawn.network()
    if not net.losses or not net.engine.backward_plan(net.engine.plan(net.losses), net.losses).owners:
        return
    nodes = [key for key in net.operators if key not in net.losses]
    recompute = data.draw(st.lists(st.sampled_from(nodes), unique=True)) if nodes else []
    inputs = {name: value for name, value in drawn.inputs.items() if name in net.engine.plan(net.losses).inputs}
    assert_same_steps(net, inputs, recompute)


@given(drawn=networks(losses=2), data=st.data())
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_gradients_of_random_networks_are_the_same(drawn, data):
    net = drawn.network()
    nodes = [key for key in net.operators if key not in net.losses]
    if not net.losses or not nodes:
        return
    engine = net.engine
    plan = engine.plan(net.losses)
    backward = engine.backward_plan(plan, net.losses)
    recomputation = make_recomputation(backward, set(data.draw(st.lists(st.sampled_from(nodes)))))
    found = []
    for recompute in (None, recomputation):
        trace = walk_forward(plan, engine.store.by_node, drawn.inputs, recompute=recompute)
        starts = engine.loss_starts(plan, trace.values)
        found.append(walk_backward(backward, engine.store.by_node, trace, starts, recompute=recompute).parameters)
    assert found[0].keys() == found[1].keys()
    for node, gradients in found[0].items():
        for name, gradient in gradients.items():
            torch.testing.assert_close(found[1][node][name], gradient, rtol=0, atol=0, equal_nan=True)


def chain(operators, **edges):
    keys = ["x", *operators]
    connectivity = {a: [b] for a, b in pairwise(keys)} | {"target": ["loss"]} | edges
    return Network(operators, connectivity, seed=3)


X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), torch.zeros(8, 4)


@pytest.mark.parametrize("recompute", [["drop"], ["norm"], ["fc1", "norm", "act", "drop"], ["norm", "drop", "drop2"]])
def test_chance_and_running_statistics_are_those_of_one_pass(recompute):
    operators = {
        "fc1": Linear(6, 6), "norm": BatchNorm1d(6), "act": Tanh(), "drop": Dropout(0.4), "fc2": Linear(6, 4),
        "drop2": Dropout(0.2), "norm2": BatchNorm1d(4, momentum=None), "loss": MSELoss(),
    }  # fmt: skip
    assert_same_steps(chain(operators), {"x": X, "target": Y}, recompute, Adam(lr=0.1), steps=5)


def test_images():
    operators = {
        "conv": Conv2d(1, 4, 3, padding=1), "norm": BatchNorm2d(4), "relu": ReLU(), "conv2": Conv2d(4, 2, 3),
        "flat": Flatten(), "fc": Linear(8, 4), "loss": MSELoss(),
    }  # fmt: skip
    inputs = {"x": torch.randn(8, 1, 4, 4), "target": Y}
    assert_same_steps(chain(operators), inputs, ["conv", "norm", "relu", "conv2", "flat"])


def test_shared_operators_in_several_segments_and_a_stopped_edge():
    operators = {
        "a": Linear(6, 6), "ta": Tanh(), "b": Shared("a"), "tb": Tanh(), "c": Shared("a"), "sum": Sum(),
        "cat": Concat(), "fc": Linear(12, 4), "loss": MSELoss(),
    }  # fmt: skip
    connectivity = {
        "x": ["a"], "a": ["ta"], "ta": ["b", Feed("c", gradient=0.0), "cat"], "b": ["tb"], "tb": ["sum"], "c": ["sum"],
        "sum": ["cat"], "cat": ["fc"], "fc": ["loss"], "target": ["loss"],
    }  # fmt: skip
    net = Network(operators, connectivity, seed=0)
    for recompute in (["a", "ta"], ["a", "ta", "b", "tb"], ["b", "tb", "c"], ["a", "ta", "b", "tb", "c", "sum", "cat"]):
        assert_same_steps(copy.deepcopy(net), {"x": X, "target": Y}, recompute, Adam(lr=0.01))


class Counting(Operator):
    """Scales by how often it has run: what it computes depends on its buffer."""

    def buffers(self):
        return {"count": Buffer(())}

    def forward(self, p, x, *, training):
        factor = p["count"].add_(1).clone() if training else p["count"]
        return x * factor, factor

    def backward(self, p, factor, dy):
        return (dy * factor,), {}


class Halves(Operator):
    def forward(self, p, x, *, training):
        return tuple(x.chunk(2, 1)), x.shape

    def backward(self, p, shape, dy):
        return (torch.cat(dy, 1),), {}


def test_an_operator_that_reads_its_buffers_gets_those_of_the_first_time():
    net = chain({"fc": Linear(6, 6), "n": Counting(), "act": Tanh(), "fc2": Linear(6, 4), "loss": MSELoss()})
    assert_same_steps(net, {"x": X, "target": Y}, ["n", "act"])
    assert net.buffers["n.count"] == 3


def test_tuples_of_outputs():
    operators = {
        "fc": Linear(6, 8),
        "halves": Halves(),
        "one": Item(0),
        "two": Item(1),
        "sum": Sum(),
        "loss": MSELoss(),
    }
    net = Network(
        operators,
        {"x": ["fc"], "fc": ["halves"], "halves": ["one", "two"], "one": ["sum"], "two": ["sum"], "sum": ["loss"],
         "target": ["loss"]},
    )  # fmt: skip
    assert_same_steps(net, {"x": X, "target": Y}, ["fc", "halves", "one"])


def test_frozen_nodes_keep_nothing_anyway():
    net = chain({"a": Linear(6, 6), "t": Tanh(), "b": Linear(6, 4), "loss": MSELoss()}).freeze("a")
    step = assert_same_steps(net, {"x": X, "target": Y}, ["a", "t"])
    assert step.recomputation is None


def test_steps_that_backward_does_not_visit_save_nothing():
    net = chain({"a": Linear(6, 6), "t": Tanh(), "b": Linear(6, 4), "loss": MSELoss()}).freeze("a")
    step = Step(net, SGD(), ())
    with torch.inference_mode():
        saved = step.run.forward({"x": X, "target": Y}).saved
    assert [value is None for value in saved] == [True, True, False, False]


def test_segments_are_computed_before_the_first_that_needs_them():
    keys = [f"t{k}" for k in range(6)]
    net = chain({"fc": Linear(6, 4), **{key: Tanh() for key in keys}, "loss": MSELoss()})
    engine = net.engine
    plan = engine.backward_plan(engine.plan(net.losses), net.losses)
    found = make_recomputation(plan, {"t0", "t1", "t4"})
    steps = plan.forward.steps
    assert {steps[k].key: [again.key for _, again in before] for k, before in found.before.items()} == {
        "t4": ["t4"],
        "t1": ["t0", "t1"],
    }
    assert found.inputs == {plan.forward.index["fc"], plan.forward.index["t3"]}


@pytest.mark.parametrize(
    ("nodes", "error", "text"),
    [
        (["t1"], UnknownNodeError, r"recompute: the network has no node 't1'. Did you mean 't'"),
        (["x"], SettingError, "recompute: x is an input of the network, which is there anyway"),
        (["loss"], SettingError, "recompute: loss is a loss, which ends every step"),
        ("a", SettingError, r"recompute is a list of nodes, such as \['fc1', 'tanh'\], not 'a'"),
        ([["a", "t"]], SettingError, "one by one"),
        (3, SettingError, "recompute is a list of nodes"),
    ],
)
def test_errors(nodes, error, text):
    net = chain({"a": Linear(6, 6), "t": Tanh(), "loss": MSELoss()})
    with pytest.raises(error, match=text):
        check_recompute(net.graph, net.losses, nodes)


@pytest.mark.parametrize(("nodes", "count"), [(["a", "r", "b", "t"], 4), (["r", "t"], 0)])
def test_what_is_computed_again_is_written_over_where_forward_does_so(nodes, count, monkeypatch):
    operators = {"a": Linear(6, 6), "r": ReLU(), "b": Linear(6, 6), "t": Tanh(), "c": Linear(6, 4), "loss": MSELoss()}
    given = []
    exclusive = passes._exclusive

    def counted(step, xs, kept):
        found = exclusive(step, xs, kept)
        given.append(found is not None)
        return found

    net = chain(operators)
    step = Step(net, SGD(lr=0.1), nodes)
    monkeypatch.setattr(passes, "_exclusive", counted)
    step({"x": X, "target": Y})
    assert sum(given) == count
    assert_same_steps(chain(operators), {"x": X, "target": Y}, nodes)
