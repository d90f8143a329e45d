from __future__ import annotations

import pytest
import torch

from graphdl import Feed, Identity, Linear, MSELoss, Network, Operator, Product, Shared, Sum, Tanh


def branched(**feeds):
    """x -> a -> {b -> loss, c -> side}; y -> loss. The side has parameters of its own."""
    operators = {
        "a": Linear(2, 3),
        "b": Linear(3, 1),
        "c": Linear(3, 2),
        "side": Tanh(),
        "loss": MSELoss(),
    }
    connectivity = {"x": ["a"], "a": ["b", "c"], "b": ["loss"], "c": ["side"], "y": ["loss"]}
    return Network(operators, connectivity | feeds, seed=0)


def keys(plan):
    return [step.key for step in plan.steps]


def backward_keys(plan):
    return [entry.step.key for entry in plan.steps]


def test_a_plan_holds_the_ancestors_of_its_targets_and_nothing_else():
    engine = branched().engine
    assert keys(engine.plan(("b",))) == ["a", "b"]
    assert keys(engine.plan(("side",))) == ["a", "c", "side"]
    assert set(keys(engine.plan(("loss", "side")))) == {"a", "b", "c", "side", "loss"}
    assert set(engine.plan(("b",)).inputs) == {"x"}
    assert set(engine.plan(("loss",)).inputs) == {"x", "y"}


def test_every_step_comes_after_what_it_reads():
    net = branched()
    plan = net.engine.full_plan
    known = set(plan.inputs.values())
    for step in plan.steps:
        assert known.issuperset(step.reads)
        assert step.writes not in known
        known.add(step.writes)
    assert known == set(range(plan.absent))
    assert plan.index == {key: plan.index[key] for key in net.order}


def test_plans_are_made_once():
    engine = branched().engine
    plan = engine.plan(("b",))
    assert engine.plan(("b",)) is plan
    assert engine.full_plan is engine.full_plan
    backward = engine.backward_plan(plan, ("b",))
    assert engine.backward_plan(plan, ["b"]) is backward
    assert engine.backward_plan(plan, ("b",), ["x"]) is not backward


def test_each_value_is_freed_once_after_its_last_reader():
    plan = branched().engine.plan(("loss",))
    freed = [i for step in plan.steps for i in step.frees]
    assert sorted(freed) == sorted(set(range(plan.absent)) - {plan.index["loss"]})
    for position, step in enumerate(plan.steps):
        later = {i for other in plan.steps[position + 1 :] for i in other.reads}
        assert later.isdisjoint(step.frees)
        assert {*step.reads, step.writes}.issuperset(step.frees)


def test_a_value_read_twice_by_one_node_is_freed_once():
    plan = Network({"a": Tanh(), "p": Product()}, {"x": ["a"], "a": ["p", "p"]}).engine.full_plan
    assert plan.steps[1].reads == (plan.index["a"],) * 2
    assert plan.steps[1].frees == (plan.index["a"],)


def test_reads_and_factors_are_in_order_of_the_slots():
    operators = {"loss": MSELoss(), "a": Identity()}
    connectivity = {"t": [Feed("loss", slot="target", gradient=-2.0)], "x": ["a"], "a": [Feed("loss", gradient=0.5)]}
    plan = Network(operators, connectivity).engine.full_plan
    loss = plan.steps[-1]
    assert loss.reads == (plan.index["a"], plan.inputs["t"])
    assert loss.factors == (0.5, -2.0)


def test_implicit_inputs_have_a_value_of_their_own():
    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"fc": ["loss"]})
    plan = net.engine.full_plan
    assert set(plan.inputs) == {"fc", "loss"}
    assert plan.inputs["fc"] != plan.index["fc"]
    assert plan.inputs["loss"] != plan.index["loss"]


def test_shared_operators_keep_their_owner():
    net = Network({"a": Linear(2, 2), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    assert net.engine.full_plan.owners == {"a"}


def test_the_backward_plan_leads_from_the_starts_to_what_trains():
    engine = branched().engine
    plan = engine.full_plan
    assert backward_keys(engine.backward_plan(plan, ("loss",))) == ["loss", "b", "a"]
    assert backward_keys(engine.backward_plan(plan, ("side",))) == ["side", "c", "a"]
    assert set(backward_keys(engine.backward_plan(plan, ("loss", "side")))) == {"loss", "b", "side", "c", "a"}
    assert backward_keys(engine.backward_plan(plan, ())) == []


def test_nothing_above_a_stopped_edge_is_planned():
    net = branched(a=["c", Feed("b", gradient=0)])
    plan = net.engine.backward_plan(net.engine.full_plan, ("loss",), ["x"])
    assert backward_keys(plan) == ["loss", "b"]
    assert plan.owners == ("b",)


def test_a_node_that_leads_to_stopped_edges_alone_is_not_planned():
    operators = {"a": Linear(2, 2), "t": Tanh(), "b": Linear(2, 1), "s": Sum()}
    net = Network(operators, {"x": ["a", "b"], "a": [Feed("t", gradient=0)], "t": ["s"], "b": ["s"]})
    assert backward_keys(net.engine.backward_plan(net.engine.full_plan, ("s",), ["x"])) == ["s", "b"]


def test_nothing_above_frozen_nodes_is_planned_unless_inputs_are_wanted():
    net = branched()
    net.freeze("a")
    plan = net.engine.full_plan
    assert backward_keys(net.engine.backward_plan(plan, ("loss",))) == ["loss", "b"]
    assert backward_keys(net.engine.backward_plan(plan, ("loss",), ["x"])) == ["loss", "b", "a"]
    net.freeze("b")
    assert backward_keys(net.engine.backward_plan(plan, ("loss",))) == []
    net.unfreeze("a")
    frozen_between = net.engine.backward_plan(plan, ("loss",))
    assert backward_keys(frozen_between) == ["loss", "b", "a"]
    assert frozen_between.owners == ("a",)


def test_only_wanted_gradients_are_asked_for():
    net = branched()
    plan = net.engine.full_plan
    needs = {entry.step.key: entry.needs for entry in net.engine.backward_plan(plan, ("loss",)).steps}
    assert needs == {"loss": {"prediction"}, "b": {"input", "weight", "bias"}, "a": {"weight", "bias"}}
    net.freeze("b")
    needs = {entry.step.key: entry.needs for entry in net.engine.backward_plan(plan, ("loss",), ["x", "y"]).steps}
    assert needs == {"loss": {"prediction", "target"}, "b": {"input"}, "a": {"input", "weight", "bias"}}


def test_operators_whose_backward_takes_no_needs_are_given_none():
    net = Network({"a": Linear(2, 2), "t": Tanh(), "s": Sum()}, {"x": ["a"], "a": ["t"], "t": ["s"]})
    plan = net.engine.backward_plan(net.engine.full_plan, ("s",))
    assert [entry.needs for entry in plan.steps] == [None, None, {"weight", "bias"}]


@pytest.mark.parametrize("factor", [1.0, -0.5])
def test_sends_are_the_wanted_inputs_with_their_factors(factor):
    operators = {"a": Linear(2, 2), "s": Sum()}
    connectivity = {"x": ["a", "s"], "a": [Feed("s", gradient=factor), Feed("s", gradient=0), Feed("s")]}
    net = Network(operators, connectivity)
    plan = net.engine.full_plan
    (last, first) = net.engine.backward_plan(plan, ("s",)).steps
    assert last.sends == ((1, plan.index["a"], factor), (3, plan.index["a"], 1.0))
    assert first.sends == ()


class Watched(Operator):
    """Counts how often it was run."""

    calls: int = 0

    def forward(self, p, x, *, training):
        type(self).calls += 1
        return x.clone(), None

    def backward(self, p, saved, dy):
        type(self).calls += 100
        return (dy,), {}


def test_prediction_runs_no_node_that_it_does_not_need():
    class Counted(Watched):
        calls = 0

    operators = {"fc": Linear(2, 1), "side": Counted(), "loss": MSELoss()}
    net = Network(operators, {"fc": ["loss", "side"], "y": ["loss"]}, seed=0)
    net.predict(torch.zeros(3, 2))
    assert Counted.calls == 0
    net.forward({"fc": torch.zeros(3, 2), "y": torch.zeros(3, 1)})
    net.backward()
    assert Counted.calls == 1
