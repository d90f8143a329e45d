from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Feed,
    Flatten,
    Identity,
    Item,
    L1Loss,
    Linear,
    MaxPool2d,
    MSELoss,
    Network,
    ReLU,
    Shared,
    Sum,
    Tanh,
    fit,
)
from graphdl.errors import NonFiniteError, OperatorError
from graphdl.execution import replay
from graphdl.optim import SGD, Adam
from graphdl.training.recording import SIGHTS
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep
from tests.probe import Probe

ROWS = 22  # two batches of 8, and one of 6
G = torch.Generator().manual_seed(0)
X = {
    "x": torch.randn(ROWS, 3, generator=G),
    "target": torch.randn(ROWS, 2, generator=G),
    "classes": torch.randint(0, 4, (ROWS,), generator=G),
    "image": torch.randn(ROWS, 2, 6, 6, generator=G),
    "words": torch.randint(0, 9, (ROWS, 5), generator=G),
}


def chain(*operators, source="x", target="target", loss=None):
    """Operators one after another and a loss."""
    nodes = {f"n{k}": operator for k, operator in enumerate(operators)} | {"loss": loss or MSELoss()}
    names = [source, *nodes]
    edges = {a: [b] for a, b in pairwise(names)}
    return nodes, edges | {target: ["loss"]}


def branches():
    operators = {
        "a": Linear(3, 4), "b": Shared("a"), "tanh": Tanh(), "sum": Sum(), "left": Linear(4, 2), "right": Linear(4, 2),
        "near": MSELoss(), "far": L1Loss(weight=0.3),
    }  # fmt: skip
    connectivity = {
        "x": ["a"], "a": ["tanh"], "tanh": ["sum"], "x2": ["b"], "b": [Feed("sum", gradient=-0.5)],
        "sum": ["left", "right"], "left": ["near"], "right": ["far"], "target": ["near", "far"],
    }  # fmt: skip
    return operators, connectivity


NETS = {
    "perceptron": lambda: chain(Linear(3, 8), ReLU(), Linear(8, 2)),
    "batch norm and dropout": lambda: chain(Linear(3, 8), BatchNorm1d(), Dropout(0.4), Tanh(), Linear(8, 2)),
    "classes": lambda: chain(Linear(3, 8), Tanh(), Linear(8, 4), target="classes", loss=CrossEntropyLoss()),
    "images": lambda: chain(
        Conv2d(2, 4, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(out_features=2), source="image"
    ),
    "words": lambda: chain(Embedding(9, 4), Flatten(), Linear(out_features=2), source="words"),
    "branches": branches,
}  # fmt: skip


def data(net):
    return {name: X["x"] if name == "x2" else X[name] for name in net.inputs}


def train(declaration, recordable, monkeypatch, optimizer=None, **settings):
    with monkeypatch.context() as patch:
        if not recordable:
            patch.setattr(replay, "MOST_BYTES", -1)
        net = Network(*declaration, seed=0)
        history = fit(
            net, data(net), optimizer=optimizer or Adam(lr=0.01), epochs=6, batch_size=8, progress=False, **settings
        )
    return net, history


@pytest.mark.parametrize("optimizer", [Adam(lr=0.01), SGD(lr=0.05, momentum=0.9, weight_decay=0.1)], ids=str)
@pytest.mark.parametrize("name", NETS)
def test_replayed_steps_change_no_bit(name, optimizer, monkeypatch):
    expected, plain = train(NETS[name](), False, monkeypatch, optimizer)
    found, replayed = train(NETS[name](), True, monkeypatch, optimizer)
    for key, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor), key
    assert replayed["loss"] == plain["loss"]


def test_metrics_and_validation_are_the_same(monkeypatch):
    settings = {
        "metrics": ["accuracy", lambda p, t: float(p.sum())],
        "validation": {"x": X["x"], "classes": X["classes"]},
    }
    results = [train(NETS["classes"](), recordable, monkeypatch, **settings)[1] for recordable in (False, True)]
    assert dict(results[0]) == dict(results[1])


def test_steps_are_replayed_once_they_were_recorded_twice_and_verified():
    net = Network(*NETS["perceptron"](), seed=0)
    step = TrainingStep(net, SGD(lr=0.1).bind(net), Scorer(net, ()))
    batch = {name: X[name][:8] for name in ("x", "target")}
    with torch.inference_mode():
        for _ in range(SIGHTS + 3):
            step(batch)
        step.passes.forward = step.passes.backward = None  # the operators are not called any more
        before = net.parameters["n0.weight"].clone()
        step(batch)
    assert not torch.equal(before, net.parameters["n0.weight"])


def test_a_custom_operator_is_called_in_every_step():
    probe = Probe()
    net = Network(*chain(Linear(3, 8), probe, Linear(8, 2)), seed=0)
    fit(net, data(net), optimizer=SGD(), epochs=5, batch_size=11, progress=False)
    assert probe.calls["forward"] == probe.calls["backward"] == 10


@dataclass(frozen=True)
class Eager(Probe):
    """Decides by a number."""

    seen: list = field(default_factory=list, compare=False)

    def forward(self, p, x, *, training):
        self.seen.append(float(x.sum()))
        return super().forward(p, x, training=training)


def test_an_operator_that_reads_numbers_is_called_in_every_step():
    eager = Eager()
    net = Network(*chain(Linear(3, 8), eager, Linear(8, 2)), seed=0)
    fit(net, data(net), optimizer=SGD(), epochs=5, batch_size=11, progress=False)
    assert len(set(eager.seen)) == 10


def test_large_steps_are_not_replayed(monkeypatch):
    monkeypatch.setattr(replay, "MOST_BYTES", 100)
    net = Network(*NETS["perceptron"](), seed=0)
    step = TrainingStep(net, SGD(lr=0.1).bind(net), Scorer(net, ()))
    batch = {name: X[name][:8] for name in ("x", "target")}
    with torch.inference_mode():
        for _ in range(SIGHTS + 3):
            step(batch)
    assert list(step._recordings._held.values()) == [None]


def test_a_metric_may_keep_the_predictions():
    kept = []

    def keep(prediction, target):
        kept.append((prediction, prediction.clone()))
        return 0.0

    net = Network(*NETS["perceptron"](), seed=0)
    fit(net, data(net), optimizer=SGD(lr=0.1), epochs=4, batch_size=11, metrics=[keep], progress=False)
    assert all(torch.equal(prediction, copy) for prediction, copy in kept)


def test_a_replayed_step_whose_loss_is_not_finite_changes_nothing():
    net = Network(*NETS["perceptron"](), seed=0)
    good = {name: X[name][:8] for name in ("x", "target")}
    bad = {**good, "x": torch.full((8, 3), float("nan"))}
    reference = Network(*NETS["perceptron"](), seed=0)
    fit(reference, [good] * 9, optimizer=Adam(), epochs=1, progress=False)
    with pytest.raises(NonFiniteError, match="the input 'x' has values that are not finite"):
        fit(net, [good] * 9 + [bad], optimizer=Adam(), epochs=1, progress=False)
    assert all(torch.equal(net.parameters[name], tensor) for name, tensor in reference.parameters.items())


def test_an_error_in_a_replayed_step_is_explained():
    net = Network(*NETS["classes"](), seed=0)
    good = {"x": X["x"][:8], "classes": X["classes"][:8]}
    bad = {**good, "classes": torch.full((8,), 7)}
    with pytest.raises(OperatorError, match=r"loss \(CrossEntropyLoss\).*class indices 0 to 3") as caught:
        fit(net, [good] * 9 + [bad], optimizer=Adam(), epochs=1, progress=False)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("change", ["freeze", "dtype"])
def test_what_a_callback_changes_is_seen(change, monkeypatch):
    def callback(net, history):
        if history.epochs == 3:
            net.freeze("n0") if change == "freeze" else net.to(dtype=torch.float64)

    def train_with(recordable):
        declaration = NETS["perceptron"]()
        net = Network(*declaration, seed=0)
        batches = [{n: X[n][:8].to(net.dtype) for n in ("x", "target")}] * 9
        with monkeypatch.context() as patch:
            if not recordable:
                patch.setattr(replay, "MOST_BYTES", -1)
            fit(net, batches, optimizer=Adam(lr=0.01), epochs=6, callbacks=[callback], progress=False)
        return net.state_dict()

    expected, found = train_with(False), train_with(True)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_an_element_of_a_tuple_is_recorded(monkeypatch):
    @dataclass(frozen=True)
    class Halves(Identity):
        def forward(self, p, x, *, training):
            return tuple(x.chunk(2, 1)), None

        def backward(self, p, saved, dy):
            return (torch.cat([torch.zeros_like(dy[1]), dy[1]], 1),), {}

    declaration = chain(Linear(3, 4), Halves(), Item(1))
    nets = [train(declaration, recordable, monkeypatch)[0] for recordable in (False, True)]
    assert torch.equal(nets[0].parameters["n0.weight"], nets[1].parameters["n0.weight"])
