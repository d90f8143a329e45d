"""Validation by compiled passes, which fit(compile=True) uses."""

import math
from itertools import pairwise

import pytest

from graphdl import BatchNorm1d, CrossEntropyLoss, Dropout, Linear, Network, Tanh, evaluate, fit
from graphdl.data import disc
from graphdl.execution.compiled import CompiledPasses
from graphdl.execution.placed import PlacedStep
from graphdl.operators import Operator
from graphdl.optim import SGD, Adam
from tests.twins import needs_compiler

pytestmark = needs_compiler
X, LABELS = disc(1500, seed=0)


def make_net(*middle):
    layers = {"fc1": Linear(2, 9), **{f"middle{k}": each for k, each in enumerate(middle)}, "fc2": Linear(9, 2)}
    keys = ["x", *layers, "loss"]
    edges = {a: [b] for a, b in pairwise(keys)}
    return Network(layers | {"loss": CrossEntropyLoss()}, edges | {"target": ["loss"]}, seed=0)


@pytest.fixture
def passes(monkeypatch):
    """How many passes each call made that trains nothing, the verified one included."""
    made, end = [], CompiledPasses._end

    def note(self):
        done, found = end(self)
        if not isinstance(self._step, PlacedStep):
            made.append(done)
        return done, found

    monkeypatch.setattr(CompiledPasses, "_end", note)
    return made


def train(net, validation, **changes):
    options = {"optimizer": Adam(lr=0.01), "epochs": 4, "batch_size": 20, "metrics": ("accuracy",), "seed": 1}
    data = {"x": X[:100], "target": LABELS[:100]}
    return fit(net, data, validation=validation, compile=True, progress=False, **(options | changes))


@pytest.mark.parametrize("middle", [[Tanh()], [BatchNorm1d(9), Tanh(), Dropout(0.4)]], ids=["plain", "norm, drop"])
def test_figures_are_those_of_evaluate(middle, passes):
    net, found = make_net(*middle), []
    held = {"x": X[100:400], "target": LABELS[100:400]}
    history = train(
        net, held, callbacks=[lambda net, _: found.append(evaluate(net, held, metrics=("accuracy",))) and None]
    )
    assert passes == [1] * 4
    assert history["validation_loss"] == pytest.approx([each["loss"] for each in found], rel=1e-5)
    assert history["validation_accuracy"] == [each["accuracy"] for each in found]


def test_a_shorter_last_batch_is_left_to_the_operators(passes):
    net = make_net(Tanh())
    history = train(net, (X, LABELS))  # 1024 and 476 rows
    assert passes == [1] * 4
    assert history["validation_loss"][-1] == pytest.approx(evaluate(net, X, LABELS)["loss"], rel=1e-5)


def test_a_frozen_node_is_compiled_again(passes):
    net = make_net(BatchNorm1d(9), Tanh())

    def freeze(net, history):
        if len(history["loss"]) == 2:
            net.freeze("middle0")

    history = train(net, (X[100:150], LABELS[100:150]), callbacks=[freeze])
    assert passes == [1] * 4
    assert history["validation_loss"][-1] == pytest.approx(evaluate(net, X[100:150], LABELS[100:150])["loss"], rel=1e-5)


class Scaled(Operator):
    factor = 1.0

    def forward(self, p, x, *, training):
        return x * Scaled.factor, None

    def backward(self, p, saved, dy):
        return (dy * Scaled.factor,), {}


def test_custom_operators_are_called(passes):
    history = train(make_net(Scaled()), (X[100:150], LABELS[100:150]))
    assert passes == []
    assert len(history["validation_loss"]) == 4


def test_losses_that_are_not_finite_are_reported(passes):
    x = X[100:150].clone()
    x[3] = math.inf
    history = train(make_net(), (x, LABELS[100:150]), metrics=(), optimizer=SGD(lr=0.0), epochs=2)
    assert not any(map(math.isfinite, history["validation_loss"]))
    assert sum(passes) == 0


def test_twice_two_epochs_are_four_to_the_last_bit():
    held = {"x": X[100:400], "target": LABELS[100:400]}
    once, twice = make_net(Tanh()), make_net(Tanh())
    expected = train(once, held, seed=None)
    stepper = Adam(lr=0.01).bind(twice)
    parts = [train(twice, held, seed=None, optimizer=stepper, epochs=2) for _ in range(2)]
    for name, values in expected.items():
        assert values == [*parts[0][name], *parts[1][name]]
