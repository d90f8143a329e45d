"""Networks of one structure, whose steps are made together."""

import copy
import threading
from itertools import pairwise

import pytest
import torch

from graphdl import BatchNorm1d, CrossEntropyLoss, Dropout, LeakyReLU, Linear, Network, Tanh, fit
from graphdl.data import disc
from graphdl.errors import GraphDLWarning
from graphdl.execution.compiled import CompiledSteps
from graphdl.operators import Operator
from graphdl.optim import SGD, Adam, Cosine
from graphdl.search import fit_all, groups
from tests.twins import needs_compiler

pytestmark = needs_compiler
X, LABELS = disc(110, seed=0)


def make_net(seed, *middle, loss=None, dtype=torch.float32):
    layers = {"fc1": Linear(2, 7), **{f"middle{k}": each for k, each in enumerate(middle)}, "fc2": Linear(7, 2)}
    keys = ["x", *layers, "loss"]
    connectivity = {a: [b] for a, b in pairwise(keys)} | {"target": ["loss"]}
    return Network(layers | {"loss": loss or CrossEntropyLoss()}, connectivity, seed=seed, dtype=dtype)


@pytest.fixture
def followed(monkeypatch):
    """Whether each network, after the first, could use the step of the first."""
    found, follow = [], CompiledSteps._follow

    def note(*given):
        found.append(follow(*given))
        return found[-1]

    monkeypatch.setattr(CompiledSteps, "_follow", note)
    return found


def train(nets, **changes):
    options = {"optimizers": Adam(lr=0.01), "epochs": 4, "batch_size": 20, "threads": 2, "backend": "compiled"}
    seeds = list(range(len(nets)))
    return fit_all(nets, X, LABELS, **{"seeds": seeds, "progress": False, **options, **changes})


def assert_equal_alone(nets, result, optimizers, **changes):
    """Each network is what fit(compile=True) alone makes of it, bit for bit."""
    for k, (net, optimizer) in enumerate(zip(nets, optimizers, strict=True)):
        options = {"epochs": 4, "batch_size": 20, "seed": k, "compile": True, "progress": False} | changes
        history = fit(net, X, LABELS, optimizer=optimizer, **options)
        assert dict(history) == dict(result.histories[k])
        for name, tensor in result.networks[k].state_dict().items():
            assert torch.equal(tensor, net.state_dict()[name]), f"{name} of network {k}"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "middle", [[Tanh()], [BatchNorm1d(7), Tanh()], [Dropout(0.3)]], ids=["Tanh", "norm", "dropout"]
)
def test_many_networks_with_numbers_of_their_own(middle, threads, followed):
    nets = [make_net(k, *middle, loss=CrossEntropyLoss(weight=1 + k % 2)) for k in range(9)]
    optimizers = [Adam(lr=Cosine(0.01 * (k + 1), steps=30), betas=(0.8 + 0.02 * k, 0.99)) for k in range(9)]
    alone = copy.deepcopy(nets)
    result = train(nets, optimizers=optimizers, threads=threads, metrics=("accuracy",))
    assert {row["way"] for row in result.table} == {"compiled"}
    assert followed == [True] * 8
    assert_equal_alone(alone, result, optimizers, metrics=("accuracy",))


def test_clipping_accumulation_and_double_precision(followed):
    nets = [make_net(k, Tanh(), dtype=torch.float64) for k in range(4)]
    optimizers, settings = [SGD(lr=0.1 * (k + 1), momentum=0.9) for k in range(4)], {"clip_norm": 0.5, "accumulate": 2}
    alone = copy.deepcopy(nets)
    result = train(nets, optimizers=optimizers, **settings)
    assert followed == [True] * 3
    assert_equal_alone(alone, result, optimizers, **settings)


def test_a_member_that_diverges_leaves_the_others_as_they_are():
    optimizers = [SGD(lr=0.1), SGD(lr=1e39), SGD(lr=0.1)]
    nets = [make_net(k, Tanh(), loss=CrossEntropyLoss()) for k in range(3)]
    alone = copy.deepcopy(nets)
    result = train(nets, optimizers=optimizers)
    assert [bool(row["error"]) for row in result.table] == [False, True, False]
    assert all(torch.isfinite(tensor).all() for tensor in nets[1].parameters.values())
    for k in (0, 2):
        fit(alone[k], X, LABELS, optimizer=optimizers[k], epochs=4, batch_size=20, seed=k, compile=True, progress=False)
        assert all(torch.equal(t, alone[k].state_dict()[name]) for name, t in nets[k].state_dict().items())


@pytest.mark.filterwarnings("ignore:.*trains step by step")
def test_a_network_of_another_structure_is_noticed_by_its_own_first_step(monkeypatch):
    monkeypatch.setattr(groups, "structure_of", lambda *given: "all the same")
    nets = [make_net(0, LeakyReLU(0.01)), make_net(0, LeakyReLU(0.4))]
    alone = copy.deepcopy(nets)
    result = train(nets)
    for k, net in enumerate(alone):
        history = fit(net, X, LABELS, optimizer=Adam(lr=0.01), epochs=4, batch_size=20, seed=k, progress=False)
        assert history["loss"] == pytest.approx(result.histories[k]["loss"], rel=1e-4)


class Doubled(Operator):
    def forward(self, p, x, *, training):
        return x * 2, None

    def backward(self, p, saved, dy):
        return (dy * 2,), {}


def test_networks_with_a_custom_operator_record_their_own_steps(followed):
    nets = [make_net(k, Doubled()) for k in range(3)]
    alone = copy.deepcopy(nets)
    result = train(nets)
    assert followed == []
    assert_equal_alone(alone, result, [Adam(lr=0.01)] * 3)


def test_a_step_that_cannot_be_compiled_is_left_to_the_operators():
    class Random(Operator):
        def forward(self, p, x, *, training):
            return x + 0 * torch.rand(()), None

        def backward(self, p, saved, dy):
            return (dy,), {}

    with pytest.warns(GraphDLWarning, match="step by step"):
        result = train([make_net(k, Random()) for k in range(2)])
    assert {row["way"] for row in result.table} == {"operators"}


def test_threads_share_the_work(monkeypatch):
    seen = set()
    call = CompiledSteps.call

    def note(*given):
        seen.add(threading.current_thread().name)
        return call(*given)

    monkeypatch.setattr(CompiledSteps, "call", note)
    train([make_net(k, Tanh()) for k in range(12)], threads=2)
    assert len(seen) >= 2
