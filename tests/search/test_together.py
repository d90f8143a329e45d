"""Networks of one structure, whose steps are made together."""

import copy
import threading
import time
from itertools import pairwise

import pytest
import torch

from graphdl import BatchNorm1d, Callback, CrossEntropyLoss, Dropout, LeakyReLU, Linear, Network, Tanh, fit
from graphdl.data import disc
from graphdl.errors import GraphDLWarning, SettingError
from graphdl.execution.compiled import CompiledPasses
from graphdl.operators import Operator
from graphdl.optim import L1, L2, SGD, Adam, Cosine
from graphdl.search import fit_all, groups, sweep, together
from graphdl.search.shared import SharedData
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
    """Whether each network could use the step of the copy on which it was compiled."""
    found, follow = [], CompiledPasses._follow

    def note(*given):
        found.append(follow(*given))
        return found[-1]

    monkeypatch.setattr(CompiledPasses, "_follow", note)
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
    assert followed == [True] * 9
    assert_equal_alone(alone, result, optimizers, metrics=("accuracy",))


def test_clipping_accumulation_and_double_precision(followed):
    nets = [make_net(k, Tanh(), dtype=torch.float64) for k in range(4)]
    optimizers, settings = [SGD(lr=0.1 * (k + 1), momentum=0.9) for k in range(4)], {"clip_norm": 0.5, "accumulate": 2}
    alone = copy.deepcopy(nets)
    result = train(nets, optimizers=optimizers, **settings)
    assert followed == [True] * 4
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


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_the_work(threads, monkeypatch):
    seen, python, run_all, call = set(), set(), together.run_all, CompiledPasses.call

    def note(prepared):
        seen.add(threading.current_thread().name)
        time.sleep(0.01)  # so that the other thread has its turn
        run_all(prepared)

    def note_call(*given):
        python.add(threading.current_thread())
        return call(*given)

    monkeypatch.setattr(together, "run_all", note)
    monkeypatch.setattr(CompiledPasses, "call", note_call)
    train([make_net(k, Tanh()) for k in range(12)], threads=threads)
    assert len(seen) == threads
    assert python == {threading.main_thread()}


@pytest.mark.parametrize("backend", ["compiled", "operators"])
def test_each_network_has_its_own_penalties(backend):
    penalties = [(L2(0.1 * k, nodes=("*.weight",)), L1(0.01, name="small")) for k in range(1, 4)]
    nets = [make_net(k, Tanh()) for k in range(3)]
    alone = copy.deepcopy(nets)
    result = train(nets, penalties=penalties, backend=backend, validation=(X[:30], LABELS[:30]))
    assert list(result.histories[0]) == ["loss", "l2", "small", "validation_loss"]
    for k, net in enumerate(alone):
        history = fit(
            net, X, LABELS, optimizer=Adam(lr=0.01), epochs=4, batch_size=20, seed=k, progress=False,
            penalties=penalties[k], compile=backend == "compiled", validation=(X[:30], LABELS[:30]),
        )  # fmt: skip
        assert dict(history) == dict(result.histories[k])


def test_penalties_of_a_sweep():
    result = sweep(
        lambda setting: make_net(0, Tanh()), X, LABELS, over={"strength": [0.0, 1.0]}, optimizer=Adam(lr=0.01),
        epochs=3, batch_size=20, penalties=lambda setting: (L2(setting["strength"]),), progress=False,
    )  # fmt: skip
    free, held = (float(net.parameters["fc1.weight"].square().sum()) for net in result.networks)
    assert held < free


@pytest.mark.parametrize("wrong", [L2(0.1), ["L2"], [(L2(0.1),)], [(L2(0.1),), 3]])
def test_wrong_penalties(wrong):
    with pytest.raises(SettingError, match="penalties"):
        train([make_net(0), make_net(1)], penalties=wrong)


@pytest.mark.parametrize("rows", [
    torch.arange(80)[::2], torch.tensor([3]).expand(40), torch.arange(120).view(40, 3)[:, 1]
], ids=["stride", "one row", "column"])  # fmt: skip
def test_rows_that_do_not_lie_side_by_side(rows):
    strided, plain = ([make_net(k, Tanh()) for k in range(3)] for _ in range(2))
    options = {"shuffle": False, "metrics": ("accuracy",)}
    found = train(strided, rows=[rows % 110] * 3, validation_rows=[rows[::2] % 110] * 3, **options)
    chosen, held = (rows % 110).clone(), (rows[::2] % 110).clone()
    expected = train(plain, rows=[chosen] * 3, validation_rows=[held] * 3, **options)
    assert [dict(history) for history in found.histories] == [dict(history) for history in expected.histories]


class Freezing(Callback):
    def on_epoch_end(self, net, stepper, history):
        if history.epochs == 1:
            net.freeze("middle0")
        if history.epochs == 3:
            net.unfreeze("middle0")


def test_a_node_that_callbacks_freeze():
    nets = [make_net(k, BatchNorm1d(7, affine=False)) for k in range(4)]
    alone = copy.deepcopy(nets)
    result = train(nets, callbacks=[Freezing()])
    assert_equal_alone(alone, result, [Adam(lr=0.01)] * 4, callbacks=[Freezing()])


def test_data_with_gaps_are_copied_once():
    table = torch.cat([X, torch.zeros(110, 3)], 1)
    data = SharedData("inputs", table[:, :2], LABELS)
    (x, _), (again, _) = (data.named(make_net(0)).values() for _ in range(2))
    assert x.is_contiguous()
    assert x.data_ptr() == again.data_ptr()
