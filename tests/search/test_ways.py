"""The ways of training: groups of one structure, processes, memory, Ctrl-C."""

import threading

import joblib
import pytest
import torch

from graphdl import CrossEntropyLoss, Dropout, EarlyStopping, Linear, Network, ReduceOnPlateau, ReLU, Tanh, fit
from graphdl.data import disc
from graphdl.errors import GraphDLError, SettingError, ShapeError
from graphdl.initializers import XavierNormal
from graphdl.operators import Operator
from graphdl.optim import BFGS, SGD, Adam, Cosine
from graphdl.search import Halving, fit_all, ways
from graphdl.search.groups import structure_of
from graphdl.search.member import Member, Recipe
from graphdl.search.memory import Budget
from graphdl.search.shared import SharedData
from graphdl.search.together import Together
from tests.twins import needs_compiler

X, LABELS = disc(100, seed=0)


def make_net(seed=0, width=6, middle=None, factor=1.0, **linear):
    operators = {
        "fc1": Linear(2, width, **linear), "middle": middle or Tanh(), "fc2": Linear(width, 2),
        "loss": CrossEntropyLoss(weight=factor),
    }  # fmt: skip
    connectivity = {"x": ["fc1"], "fc1": ["middle"], "middle": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=seed)


def train(nets, **changes):
    options = {
        "optimizers": Adam(lr=0.01), "epochs": 3, "batch_size": 30, "seeds": 1, "backend": "operators",
        "progress": False,
    }  # fmt: skip
    return fit_all(nets, X, LABELS, **(options | changes))


def assert_same(result, expected):
    assert [dict(history) for history in result.histories] == [dict(history) for history in expected.histories]
    for one, other in zip(result.networks, expected.networks, strict=True):
        assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def structure(net, optimizer, rows=None):
    return structure_of(Member(0, net, optimizer, rows=rows), Recipe(3, 30), SharedData("inputs", X, LABELS))


@pytest.mark.parametrize(("net", "optimizer"), [
    (make_net(seed=4), Adam(lr=0.1)),
    (make_net(factor=2.0), Adam(lr=Cosine(0.1, steps=10))),
    (make_net(weight=XavierNormal()), Adam(lr=0.1, betas=(0.8, 0.9), nodes={"*.bias": {"lr": 1.0}})),
])  # fmt: skip
def test_what_may_differ_in_a_group(net, optimizer):
    nodes = {"*.bias": {"lr": 2.0}} if optimizer.nodes else {}
    assert structure(net, optimizer) == structure(make_net(), Adam(lr=0.01, nodes=nodes))


@pytest.mark.parametrize(("net", "optimizer"), [
    (make_net(width=7), Adam()),
    (make_net(middle=ReLU()), Adam()),
    (make_net(middle=Dropout(0.5)), Adam()),
    (make_net().freeze("fc1"), Adam()),
    (make_net().to(dtype=torch.float64), Adam()),
    (make_net(), SGD()),
    (make_net(), Adam(weight_decay=0.1)),
    (make_net(), Adam(nodes={"fc1": {"lr": 0.1}})),
])  # fmt: skip
def test_what_makes_another_group(net, optimizer):
    assert structure(net, optimizer) != structure(make_net(), Adam())


def test_rows_make_another_group_if_batches_are_smaller():
    assert structure(make_net(), Adam(), torch.arange(40)) == structure(make_net(), Adam())
    assert structure(make_net(), Adam(), torch.arange(20)) != structure(make_net(), Adam())


def test_networks_of_several_structures_are_compiled_in_the_background():
    nets = [make_net(k, width) for k in range(2) for width in (3, 4, 5)]
    alone = [make_net(k, width) for k in range(2) for width in (3, 4, 5)]
    result = train(nets, backend="compiled", metrics=("accuracy",), threads=2)
    for k, net in enumerate(alone):
        history = fit(
            net, X, LABELS, optimizer=Adam(lr=0.01), epochs=3, batch_size=30, seed=1, metrics=("accuracy",),
            compile=True, progress=False,
        )  # fmt: skip
        assert dict(history) == dict(result.histories[k])
    assert {row["way"] for row in result.table} == {"compiled"}


def test_few_steps_are_not_compiled():
    assert {row["way"] for row in train([make_net()], backend=None).table} == {"operators"}


@needs_compiler
def test_compilers_start_before_groups_that_need_none_are_trained(monkeypatch):
    started = threading.Event()
    prepare, waited = Together.prepare, []

    def note(self, run):
        started.set()
        return prepare(self, run)

    def wait(net, history):
        waited.append(started.wait(10))

    monkeypatch.setattr(Together, "prepare", note)
    monkeypatch.setattr(ways, "LEAST_STEPS", 20)
    nets = [make_net(0, width=3), *(make_net(k, width=4) for k in range(3))]
    result = train(nets, backend=None, callbacks=[wait])
    assert [row["way"] for row in result.table] == ["operators"] + ["compiled"] * 3
    assert all(waited)


@pytest.mark.parametrize("halving", [None, Halving(factor=2, first=1)])
def test_processes_equal_this_process(halving):
    def run(**changes):
        nets = [make_net(k, middle=Dropout(0.2)) for k in range(3)]
        callbacks = [EarlyStopping("loss", patience=2), ReduceOnPlateau("loss", patience=0, threshold=0.5)]
        return train(nets, epochs=5, halving=halving, callbacks=callbacks, validation=(X, LABELS), **changes)

    with joblib.parallel_config(backend="loky", n_jobs=2):
        result = run(backend="processes", compile=False)
    assert_same(result, run())
    assert [row["way"] for row in result.table] == ["processes"] * 3


def test_another_backend_of_joblib():
    with joblib.parallel_config(backend="threading", n_jobs=1):
        result = train([make_net(0), make_net(1)], backend="processes", compile=False)
    assert_same(result, train([make_net(0), make_net(1)]))


def test_a_member_that_fails_in_a_process():
    nets = [make_net(0), make_net(1)]
    optimizers = [SGD(lr=0.1), SGD(lr=1e38)]
    with joblib.parallel_config(backend="threading"):
        result = train(nets, optimizers=optimizers, backend="processes", compile=False, threads=1, epochs=20)
    assert [row["state"] for row in result.table] == ["finished", "failed"]
    assert_same(result, train([make_net(0), make_net(1)], optimizers=optimizers, epochs=20))


class Failing(Operator):
    """An operator that fails after some calls."""

    calls = 0

    def forward(self, p, x, *, training):
        Failing.calls += x.device.type != "meta"
        if Failing.calls > 5:
            raise ValueError("enough")
        return x.clone(), None

    def backward(self, p, saved, dy):
        return dy, {}


def test_an_error_ends_its_member_only():
    Failing.calls = 0
    result = train([make_net(0, middle=Failing()), make_net(1)])
    assert [row["state"] for row in result.table] == ["failed", "finished"]
    assert "enough" in result.table[0]["error"]
    assert result.best == {"member": 1}
    Failing.calls = 0
    with pytest.raises(GraphDLError, match="enough"):
        train([make_net(0, middle=Failing())])


def test_memory():
    nets = [make_net(k) for k in range(5)]
    expected = train(nets)
    with pytest.raises(SettingError, match=r"memory is 1000 bytes, but at least (\d+) are needed") as error:
        train([make_net(k) for k in range(5)], memory=1000)
    least = int(str(error.value).split("at least ")[1].split()[0])
    for memory in (least, 2 * least):
        assert_same(train([make_net(k) for k in range(5)], memory=memory), expected)
    with pytest.raises(SettingError, match="memory"):
        train([make_net(k) for k in range(5)], memory=least - 1)


def test_memory_of_an_optimizer_that_couples_all_parameters():
    net = make_net(width=20)
    count, data = net.engine.store.count, SharedData("inputs", X, LABELS)
    budget = Budget(None, [], Recipe(1, 10), [data], halving=True)
    kept = budget._keeps(Member(0, net, BFGS()))
    assert 4 * count**2 <= kept <= 4 * (count + 64) ** 2
    fit(net, X, LABELS, optimizer=(stepper := BFGS().bind(net)), epochs=1, batch_size=30, progress=False)
    held = sum(tensor.nbytes for tensor in stepper.memory()[0])
    assert kept == held + net.engine.store.flat.nbytes


def test_an_interruption_returns_what_is_finished():
    class Interrupt:
        def on_epoch_start(self, net, stepper, history):
            if net is nets[1] and history.epochs == 2:
                raise KeyboardInterrupt

    nets = [make_net(k) for k in range(3)]
    result = train(nets, callbacks=[Interrupt()])
    assert not result.complete
    assert [row["state"] for row in result.table] == ["finished", "interrupted", "waiting"]
    assert [row["epochs"] for row in result.table] == [3, 2, 0]
    expected = train([make_net(1)], epochs=2)
    assert all(torch.equal(nets[1].parameters[name], t) for name, t in expected.networks[0].parameters.items())
    assert "2 of 3" not in repr(result)
    assert "1 of 3 members" in repr(result)


@pytest.mark.parametrize(("change", "message"), [
    ({"backend": "compield"}, "Did you mean 'compiled'"),
    ({"backend": "compiled", "compile": False}, "contradict"),
    ({"halving": 3}, "halving must be Halving"),
    ({"memory": -1}, "memory is -1"),
    ({"checkpoint": 3}, "checkpoint must be the path"),
    ({"threads": 0}, "threads must be"),
])  # fmt: skip
def test_wrong_arguments(change, message):
    with pytest.raises(SettingError, match=message):
        train([make_net()], **change)


def test_shapes_are_checked_before_training():
    with pytest.raises(ShapeError, match=r"middle .Linear. cannot take its inputs: .*fc1"):
        train([make_net(), make_net(middle=Linear(3, 3))])


def test_halving_keeps_the_best():
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e38]
    result = train([make_net() for _ in rates], optimizers=[SGD(lr=lr) for lr in rates], epochs=9,
                   halving=Halving(factor=2, first=2))  # fmt: skip
    epochs = [row["epochs"] for row in result.table]
    states = [row["state"] for row in result.table]
    assert sorted(epochs[:5]) == [2, 2, 4, 8, 9]
    assert states[5] == "failed"
    assert sorted(states[:5]) == ["dropped"] * 4 + ["finished"]
    after_two = sorted(range(5), key=lambda k: result.histories[k]["loss"][1])
    assert {k for k in range(5) if epochs[k] > 2} == set(after_two[:3])
    assert result.best == {"member": epochs.index(9)}
    alone = train([make_net()], optimizers=SGD(lr=rates[epochs.index(9)]), epochs=9)
    assert dict(alone.histories[0]) == dict(result.histories[epochs.index(9)])


def test_small_steps_use_one_thread():
    seen = []
    nets = [make_net(0), make_net(1, width=40_000), make_net(2)]
    options = {"epochs": 1, "callbacks": [lambda net, history: seen.append(torch.get_num_threads())], "batch_size": 100}
    before = torch.get_num_threads()
    train(nets, threads=2, **options)
    assert sorted(seen) == [1, 1, 2]
    assert torch.get_num_threads() == before
