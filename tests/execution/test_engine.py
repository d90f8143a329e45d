from __future__ import annotations

import pytest
import torch

from graphdl import Feed, Flatten, Identity, Linear, MSELoss, Network, Shared, Subtract, Tanh
from graphdl.errors import MissingInputError, ShapeError, UnknownNodeError
from graphdl.graph import sources


def regression(**settings):
    operators = {"fc": Linear(3, 2), "tanh": Tanh(), "out": Linear(2, 1), "loss": MSELoss(**settings)}
    edges = {"x": ["fc"], "fc": ["tanh"], "tanh": ["out"], "out": ["loss"], "y": ["loss"]}
    return Network(operators, edges, seed=0)


def unbuilt():
    return Network({"fc": Linear(out_features=2), "side": Tanh()}, {"x": ["fc"], "z": ["side"]}, seed=0)


def batch(rows=4):
    return {"x": torch.randn(rows, 3), "y": torch.randn(rows, 1)}


def test_tensors_exist_once_all_sizes_are_known():
    assert regression().engine.built
    net = unbuilt()
    assert not net.engine.built
    with pytest.raises(MissingInputError, match=r"fc \(Linear\) needs in_features"):
        _ = net.engine.store
    net.forward({"x": torch.ones(4, 3), "z": torch.ones(4, 1)})
    assert net.engine.built
    assert net.engine.operators["fc"] == Linear(3, 2)


def test_what_was_planned_before_the_sizes_were_known_is_planned_again():
    net = unbuilt()
    before = net.engine.plan(("fc",))
    net.build({"x": (3,)})
    assert net.engine.plan(("fc",)) is not before
    assert net.engine.plan(("fc",)).steps[0].operator == Linear(3, 2)


def test_prediction_of_a_part_builds_what_its_inputs_determine():
    net = unbuilt()
    plan, inputs = net.engine.prepare({"x": torch.ones(4, 3)}, ("fc",))
    assert ([step.key for step in plan.steps], set(inputs)) == (["fc"], {"x"})
    assert net.engine.store.parameters["fc.weight"].shape == (2, 3)


def test_sizes_that_the_given_inputs_do_not_determine_are_asked_for():
    operators = {"a": Linear(out_features=2), "b": Linear(out_features=2)}
    net = Network(operators, {"x": ["a"], "z": ["b"]})
    with pytest.raises(MissingInputError, match=r"b \(Linear\) needs in_features.*net\.build\(\{'z': \(\.\.\.\)\}\)"):
        net.build({"x": (3,)})
    assert not net.engine.built
    assert net.build({"x": (3,), "z": (5,)}).parameters["b.weight"].shape == (2, 5)


def test_the_same_seed_makes_the_same_parameters_however_sizes_are_given():
    net = unbuilt().build({"x": (3,)})
    written = Network({"fc": Linear(3, 2), "side": Tanh()}, {"x": ["fc"], "z": ["side"]}, seed=0)
    assert all(torch.equal(net.parameters[name], written.parameters[name]) for name in written.parameters)


def test_a_failed_build_changes_nothing():
    net = Network(
        {"a": Linear(out_features=2), "flat": Flatten(), "b": Linear(5, 1)}, {"x": ["a"], "a": ["flat"], "flat": ["b"]}
    )
    with pytest.raises(ShapeError, match=r"b \(Linear\)"):
        net.forward(torch.ones(4, 3))
    assert not net.engine.built
    assert net.engine.operators["a"] == Linear(out_features=2)


def test_outputs_losses_and_inputs():
    engine = regression().engine
    assert (engine.outputs, engine.losses, set(engine.inputs)) == (("loss",), ("loss",), {"x", "y"})
    net = Network({"fc": Linear(2, 1), "loss": MSELoss(), "copy": Identity()}, {"fc": ["loss"], "loss": ["copy"]})
    assert (net.outputs, net.losses, set(net.inputs)) == (("copy",), ("loss",), {"fc", "loss"})
    shared = Network({"a": MSELoss(), "b": Shared("a")}, {"x": ["a", "b"], "y": ["a", "b"]})
    assert shared.losses == ("a", "b")


def test_sources_are_listed_by_slot():
    net = Network({"less": Subtract(), "loss": MSELoss()}, {"b": [Feed("less", 1)], "a": ["less"], "less": ["loss"]})
    assert list(sources(net.graph, "less").values()) == ["a", "b"]
    assert list(sources(net.graph, "loss").values()) == ["less", "loss"]


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_losses_start_from_their_weights(reduction):
    net = regression(reduction=reduction, weight=-0.5)
    values = net.forward(batch())
    plan = net.engine.full_plan
    starts = net.engine.loss_starts(plan, net._record._trace.values)
    assert starts.keys() == {plan.index["loss"]}
    start = starts[plan.index["loss"]]
    assert (start.shape, start.unique().tolist()) == (values["loss"].shape, [-0.5])
    assert net.engine.loss_starts(plan, net._record._trace.values)[plan.index["loss"]] is start
    net.forward(batch(7))
    assert net.engine.loss_starts(plan, net._record._trace.values)[plan.index["loss"]].shape == net.values["loss"].shape


def test_starts_made_in_inference_mode_are_of_use_outside():
    net = regression()
    with torch.inference_mode():
        net.forward(batch())
        net.backward()
    net.forward(batch())
    starts = net.engine.loss_starts(net.engine.full_plan, net._record._trace.values)
    assert not next(iter(starts.values())).is_inference()
    net.backward()


def test_without_a_loss_one_must_say_where_to_start():
    net = Network({"line": Linear(2, 1)}, {"x": ["line"]})
    net.forward(torch.ones(4, 2))
    with pytest.raises(MissingInputError, match=r"no loss node to start from.*net\.backward\(\{node: gradient\}\)"):
        net.backward()
    with pytest.raises(UnknownNodeError, match=r"'lin' is not a node of the network\. Did you mean 'line'"):
        net.backward({"lin": torch.ones(4, 1)})
    with pytest.raises(ShapeError, match=r"the value of line has the shape \(4, 1\), and the gradient given \(4,\)"):
        net.backward({"line": torch.ones(4)})


def test_backward_before_forward_is_told():
    with pytest.raises(MissingInputError, match=r"call net\.forward\(inputs\) first"):
        regression().backward()


def test_freezing_takes_the_parameters_out_of_training():
    net = regression()
    version = net.engine.version
    net.freeze("fc")
    assert {extent.node for extent in net.engine.trainable} == {"out"}
    assert net.engine.version > version
    net.forward(batch())
    net.backward()
    assert set(net.gradients) == {"out.weight", "out.bias"}
    net.unfreeze(*net.operators)
    assert {extent.node for extent in net.engine.trainable} == {"fc", "out"}
    net.freeze(*net.operators)
    assert net.engine.trainable == []


def test_freezing_a_sharer_freezes_the_owner():
    net = Network({"a": Linear(2, 2), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    net.freeze("b")
    assert net.engine.frozen == {"a"}


def test_a_backward_pass_after_freezing_is_planned_anew():
    net = regression()
    inputs = batch()
    net.forward(inputs)
    net.backward()
    whole = dict(net.gradients)
    for frozen, left in [("fc", "out"), ("out", "fc")]:
        net.unfreeze(*net.operators)
        net.freeze(frozen)
        net.backward()
        assert {name.partition(".")[0] for name in net.gradients} == {left}
        assert all(torch.equal(net.gradients[name], whole[name]) for name in net.gradients)


def test_moving_to_another_type_plans_and_starts_anew():
    net = regression(weight=0.3)
    net.forward(batch())
    net.backward()
    version = net.engine.version
    net.to(dtype=torch.float64)
    assert net.engine.version > version
    assert net.values == net.gradients == {}
    assert net.forward(batch())["loss"].dtype is torch.float64
    assert net.backward()["x"].dtype is torch.float64
    assert net.value_gradients["loss"].item() == 0.3
    assert {gradient.dtype for gradient in net.gradients.values()} == {torch.float64}


def test_a_parameter_that_no_path_reaches_has_a_gradient_of_0():
    net = Network({"a": Linear(2, 2), "b": Tanh()}, {"x": ["a"], "a": [Feed("b", gradient=0)]})
    net.forward(torch.ones(3, 2))
    assert net.backward({"b": torch.ones(3, 2)}) == {}
    assert not net.gradients["a.weight"].any()
    assert net.reached == frozenset()


def test_the_inputs_of_the_widest_pass_are_remembered():
    net = regression()
    assert net.engine.known_inputs() == {}
    net.predict({"x": torch.ones(2, 3)})
    net.forward(batch(5))
    net.predict({"x": torch.ones(9, 3)})
    known = net.engine.known_inputs()
    assert {name: tuple(tensor.shape) for name, tensor in known.items()} == {"x": (5, 3), "y": (5, 1)}
    assert {tensor.device.type for tensor in known.values()} == {"meta"}
