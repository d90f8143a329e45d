"""Random networks against an interpreter of the two dictionaries that is differentiated by torch."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphdl import Linear, MSELoss, Network, Product, Shared, Tanh, check_gradients
from graphdl.errors import GraphDLWarning
from graphdl.operators import Loss
from graphdl.optim import SGD
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep
from tests.execution.drawn_graphs import interpret, networks
from tests.execution.walks import walk_backward, walk_forward


def assert_close(found, expected):
    size = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10 * size)


def assert_gradients(drawn, net, sent, values, leaves, total):
    """Every gradient that the network found is the one that torch finds for the total."""
    nodes = {key: value for key, value in values.items() if value.requires_grad}
    tensors = {**{("node", key): v for key, v in nodes.items()}, **{k: t for k, t in leaves.items() if t.requires_grad}}
    found = torch.autograd.grad(total, list(tensors.values()), materialize_grads=True, allow_unused=True)
    expected = dict(zip(tensors, found, strict=True))
    for name in drawn.inputs:
        if ("input", name) in expected:
            assert_close(sent.get(name, torch.zeros_like(drawn.inputs[name])), expected["input", name])
    frozen = {drawn.owner(key) for key in drawn.frozen}
    trained = {name for name in net.parameters if not any(name.startswith(f"{key}.") for key in frozen)}
    assert net.gradients.keys() == trained
    for name, gradient in net.gradients.items():
        assert_close(gradient, expected[name])
    for key, gradient in net.value_gradients.items():
        if key in drawn.operators:
            assert_close(gradient, expected["node", key])


def total_loss(drawn, values):
    return sum(
        operator.weight * values[key].sum() for key, operator in drawn.operators.items() if isinstance(operator, Loss)
    )


many = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@many
@given(networks(losses=3))
def test_losses(drawn):
    net = drawn.network()
    net.forward(drawn.inputs)
    values, leaves = interpret(drawn, net.parameters)
    assert set(net.values) == set(values)
    for key, value in values.items():
        assert_close(net.values[key], value.detach())
    assert_gradients(drawn, net, net.backward(), values, leaves, total_loss(drawn, values))


@many
@given(networks(), st.data())
def test_given_gradients(drawn, data):
    net = drawn.network()
    net.forward(drawn.inputs)
    values, leaves = interpret(drawn, net.parameters)
    inner = data.draw(st.lists(st.sampled_from(list(drawn.operators)), max_size=3))
    generator = torch.Generator().manual_seed(drawn.seed)
    starts = {
        key: torch.randn(values[key].shape, generator=generator, dtype=torch.float64)
        for key in dict.fromkeys((*net.outputs, *inner))
    }
    total = sum((values[key] * gradient).sum() for key, gradient in starts.items())
    assert_gradients(drawn, net, net.backward(starts), values, leaves, total)


@many
@given(networks(losses=2))
def test_training_takes_the_same_gradients(drawn):
    net = drawn.network()
    net.forward(drawn.inputs)
    sent = net.backward()
    plan, parameters = net.engine.plan(net.losses), net.engine.store.by_node
    trace = walk_forward(plan, parameters, drawn.inputs)
    wanted = [name for name in sent if name in plan.inputs]
    backward = net.engine.backward_plan(plan, net.losses, wanted)
    found = walk_backward(backward, parameters, trace, net.engine.loss_starts(plan, trace.values))
    for name, gradient in sent.items():
        assert torch.equal(found.values[plan.inputs[name]], gradient)
    if not backward.owners:
        return
    before = net.state_dict()
    step = TrainingStep(net, SGD(lr=0.5).bind(net), Scorer(net, ()), threads=torch.get_num_threads())
    with torch.inference_mode():
        score = step(drawn.inputs)
    assert score.loss == pytest.approx(float(total_loss(drawn, net.values)))
    for name, held in before.items():
        moved = net.gradients[name] * 0.5 if name in net.gradients else torch.zeros_like(held)
        torch.testing.assert_close(net.parameters[name], held - moved, rtol=1e-12, atol=1e-12)


@many
@given(networks(losses=1))
def test_what_is_stored_computes_and_predicts_the_same(drawn):
    net = drawn.network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphDLWarning)  # what is drawn has no purpose
        again = Network.from_dict(net.to_dict(), dtype=torch.float64)
    again.load_state_dict(net.state_dict())
    found, expected = again.forward(drawn.inputs), net.forward(drawn.inputs)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    predicted = net.predict(drawn.inputs)
    predicted = predicted if isinstance(predicted, dict) else {net.predictions[0]: predicted}
    assert predicted.keys() == set(net.predictions)
    assert all(torch.equal(predicted[key], net.values[key]) for key in predicted)
    assert net.shapes(drawn.inputs) == {key: tuple(value.shape) for key, value in net.values.items()}


def test_check_gradients_takes_a_drawn_network():
    operators = {"a": Linear(2, 3), "t": Tanh(), "b": Shared("a"), "p": Product(), "loss": MSELoss()}
    edges = {"x": ["a", "b"], "a": ["t"], "t": ["p"], "b": ["p", "p"], "p": ["loss"], "y": ["loss"]}
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    assert check_gradients(net, {"x": torch.randn(3, 2), "y": torch.randn(3, 3)}) < 1e-7
