"""What may be written over its input, and what may not."""

from dataclasses import dataclass

import pytest
import torch

from graphdl import Flatten, Identity, Linear, MSELoss, Network, Operator, ReLU, Sigmoid, Sum, Tanh
from graphdl.execution import passes
from graphdl.operators import LeakyReLU
from tests.execution.walks import walk_backward, walk_forward

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(5, 4, generator=G), torch.randn(5, 4, generator=G)


def gradients(net, inputs):
    """The gradients as fit computes them, where nothing is kept that nobody needs."""
    plan = net.engine.plan(net.losses)
    parameters = net.engine.store.by_node
    trace = walk_forward(plan, parameters, inputs)
    backward = net.engine.backward_plan(plan, net.losses)
    return walk_backward(backward, parameters, trace, net.engine.loss_starts(plan, trace.values)).parameters


def reused(net, monkeypatch):
    """How many operators are given an input to write over in a training pass."""
    given = []
    exclusive = passes._exclusive

    def counted(step, xs, kept):
        found = exclusive(step, xs, kept)
        given.append(found is not None)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(passes, "_exclusive", counted)
        gradients(net, {"x": X, "target": Y})
    return sum(given)


CASES = {
    "an activation over a linear map": ({"a": Linear(4, 4), "t": Tanh()}, {"x": ["a"], "a": ["t"], "t": ["loss"]}, 1),
    "a sum over one of its inputs": (
        {"a": Linear(4, 4), "b": Linear(4, 4), "s": Sum(), "r": ReLU()},
        {"x": ["a", "b"], "a": ["s"], "b": ["s"], "s": ["r"], "r": ["loss"]},
        2,
    ),
    "not over what another has saved": (
        {"a": Linear(4, 4), "b": Linear(4, 4), "t": Tanh(), "s": Sum()},
        {"x": ["a"], "a": ["b", "t"], "b": ["s"], "t": ["s"], "s": ["loss"]},
        1,
    ),
    "not over what another reads later": (
        {"a": Linear(4, 4), "t": Sigmoid(), "b": Linear(4, 4), "s": Sum()},
        {"x": ["a"], "a": ["t", "b"], "t": ["s"], "b": ["s"], "s": ["loss"]},
        1,
    ),
    "not over an input": ({"t": Tanh(), "a": Linear(4, 4)}, {"x": ["t"], "t": ["a"], "a": ["loss"]}, 0),
    "not over what its maker keeps": (
        {"a": Linear(4, 4), "t": Tanh(), "r": ReLU()},
        {"x": ["a"], "a": ["t"], "t": ["r"], "r": ["loss"]},
        1,
    ),
    "over what an identity has passed on": (
        {"a": Linear(4, 4), "i": Identity(), "t": Tanh()},
        {"x": ["a"], "a": ["i"], "i": ["t"], "t": ["loss"]},
        1,
    ),
    "not over another's view": (
        {"a": Linear(4, 4), "f": Flatten(), "t": Tanh(), "s": Sum()},
        {"x": ["a"], "a": ["f", "s"], "f": ["t"], "t": ["s"], "s": ["loss"]},
        1,
    ),
    "offered in vain where backward needs the input": (
        {"a": Linear(4, 4), "l": LeakyReLU(-0.5)},
        {"x": ["a"], "a": ["l"], "l": ["loss"]},
        1,
    ),
    "not twice the same": (
        {"a": Linear(4, 4), "s": Sum(), "r": ReLU()},
        {"x": ["a"], "a": ["s", "s"], "s": ["r"], "r": ["loss"]},
        1,
    ),
    "not where sizes differ": (
        {"a": Linear(4, 1), "b": Linear(4, 4), "s": Sum()},
        {"x": ["a", "b"], "a": ["s"], "b": ["s"], "s": ["loss"]},
        1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_a_pass_that_keeps_everything(name, monkeypatch):
    operators, connectivity, count = CASES[name]
    net = Network({**operators, "loss": MSELoss()}, {**connectivity, "target": ["loss"]}, seed=0)
    inputs = {"x": X, "target": Y}
    before = X.clone()
    assert reused(net, monkeypatch) == count
    net.forward(inputs)
    net.backward()
    for node, held in gradients(net, inputs).items():
        for parameter, gradient in held.items():
            torch.testing.assert_close(gradient, net.gradients[f"{node}.{parameter}"], rtol=0, atol=0)
    assert torch.equal(X, before)
    predicted = net.predict({"x": X})
    assert torch.equal(predicted, net.values[net.predictions[0]])


@dataclass(frozen=True)
class Doubled(Operator):
    """Takes `out` and asserts that it is its input."""

    def forward(self, p, x, *, training, out=None):
        assert out is None or out is x
        return torch.mul(x, 2, out=out), None

    def backward(self, p, saved, dy):
        return (2 * dy,), {}


def test_a_custom_operator_may_take_out(monkeypatch):
    net = Network({"a": Linear(4, 4), "d": Doubled(), "loss": MSELoss()},
                  {"x": ["a"], "a": ["d"], "d": ["loss"], "target": ["loss"]}, seed=0)  # fmt: skip
    assert reused(net, monkeypatch) == 1
    net.forward({"x": X, "target": Y})
    net.backward()
    found = gradients(net, {"x": X, "target": Y})
    assert torch.equal(found["a"]["weight"], net.gradients["a.weight"])


def test_a_target_is_not_written_over():
    net = Network({"a": Linear(4, 4), "t": Tanh(), "loss": MSELoss()},
                  {"x": ["a"], "a": ["t"], "t": ["loss"], "target": ["loss"]}, seed=0)  # fmt: skip
    plan = net.engine.plan(("loss", "a"))
    trace = walk_forward(plan, net.engine.store.by_node, {"x": X, "target": Y})
    net.forward({"x": X, "target": Y})
    assert torch.equal(trace.values[plan.index["a"]], net.values["a"])
