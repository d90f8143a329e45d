"""Validation by compiled passes, which fit(compile=True) uses."""

import math
from itertools import pairwise

import pytest
import torch

from graphdl import BatchNorm1d, CrossEntropyLoss, Dropout, Linear, MSELoss, Network, Tanh, evaluate, fit
from graphdl.data import disc
from graphdl.errors import NonFiniteError
from graphdl.execution.compiled import CompiledPasses
from graphdl.execution.placed import PlacedStep
from graphdl.operators import Operator
from graphdl.optim import SGD, Adam
from tests.twins import needs_compiler

pytestmark = needs_compiler
X, LABELS = disc(1500, seed=0)


def make_net(*middle, loss=None):
    layers = {"fc1": Linear(2, 9), **{f"middle{k}": each for k, each in enumerate(middle)}, "fc2": Linear(9, 2)}
    keys = ["x", *layers, "loss"]
    edges = {a: [b] for a, b in pairwise(keys)}
    return Network(layers | {"loss": loss or CrossEntropyLoss()}, edges | {"target": ["loss"]}, seed=0)


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


def test_constants_that_operators_keep(passes):
    """A row count that was not used before: its mean is divided by a constant that the loss keeps."""
    net = make_net(Tanh(), loss=MSELoss())
    data = {"x": X[:100], "target": torch.rand(100, 2)}
    held = {"x": X[:83], "target": torch.rand(83, 2)}
    fit(net, data, optimizer=SGD(lr=0.1), epochs=3, batch_size=20, validation=held, compile=True, progress=False)
    assert passes == [1] * 3


def test_metrics_are_called_as_often_as_by_the_operators():
    counts = []
    for compiled in (False, True):
        calls = []

        def largest(prediction, target, calls=calls):
            calls.append(len(prediction))
            return float(prediction.max())

        held = {"x": X[100:150], "target": LABELS[100:150]}
        options = {"optimizer": SGD(lr=0.1), "epochs": 3, "batch_size": 20, "metrics": (largest,), "progress": False}
        fit(make_net(Tanh()), X[:100], LABELS[:100], validation=held, compile=compiled, **options)
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_buffers_are_restored_where_a_loss_is_not_finite():
    x = X[:100].clone()
    x[45] = math.inf
    buffers = []
    for compiled in (False, True):
        net = make_net(BatchNorm1d(9))
        with pytest.raises(NonFiniteError):
            fit(
                net, x, LABELS[:100], optimizer=SGD(lr=0.1), epochs=1, batch_size=20, shuffle=False, compile=compiled,
                progress=False,
            )  # fmt: skip
        buffers.append(net.buffers)
    for name, tensor in buffers[0].items():
        torch.testing.assert_close(buffers[1][name], tensor, rtol=1e-4, atol=1e-6)
    assert int(buffers[1]["middle0.num_batches_tracked"]) == 2


def test_random_numbers_after_an_interruption_belong_to_the_steps_made(monkeypatch):
    drawn, draw = [], Dropout.draw

    def interrupted(self, *given, generator):
        drawn.append(generator)
        if len(drawn) == 60:
            raise KeyboardInterrupt
        return draw(self, *given, generator=generator)

    net, stepped = make_net(Dropout(0.5)), make_net(Dropout(0.5))
    stepper = SGD(lr=0.1).bind(net)
    monkeypatch.setattr(Dropout, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(net, X, LABELS, optimizer=stepper, epochs=9, batch_size=20, shuffle=False, compile=True, progress=False)
    monkeypatch.setattr(Dropout, "draw", draw)
    rows = stepper.steps * 20
    assert 0 < rows < len(X)
    options = {"optimizer": SGD(lr=0.1), "epochs": 1, "batch_size": 20, "shuffle": False, "progress": False}
    fit(stepped, X[:rows], LABELS[:rows], **options)
    assert torch.equal(net.generator.get_state(), stepped.generator.get_state())
