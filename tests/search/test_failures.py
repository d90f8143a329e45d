"""Errors stay with their member, and the others go on."""

import gc
import weakref

import pytest
import torch

from graphdl import Callback, CrossEntropyLoss, Linear, Network, Tanh
from graphdl.data import disc
from graphdl.errors import NonFiniteError, SettingError
from graphdl.execution.compiled import CompiledPasses
from graphdl.optim import BFGS, Adam
from graphdl.search import fit_all
from graphdl.search.training import Training
from tests.twins import needs_compiler

X, LABELS = disc(110, seed=0)
BACKENDS = ["operators", pytest.param("compiled", marks=needs_compiler)]


def make_net(seed=0, width=6):
    operators = {"fc1": Linear(2, width), "tanh": Tanh(), "fc2": Linear(width, 2), "loss": CrossEntropyLoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=seed)


def train(nets, x=X, **changes):
    options = {"optimizers": Adam(lr=0.01), "epochs": 3, "batch_size": 20, "seeds": 1, "threads": 2}
    return fit_all(nets, x, LABELS, **{"progress": False, **options, **changes})


def states(result):
    return [row["state"] for row in result.table]


def assert_as_alone(net, number, **changes):
    alone = make_net(number)
    train([alone], **changes)
    assert all(torch.equal(tensor, alone.parameters[name]) for name, tensor in net.parameters.items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_member_is_not_finite_from_the_start(backend):
    nets = [make_net(k) for k in range(3)]
    nets[0].parameters["fc2.weight"].fill_(float("inf"))
    result = train(nets, backend=backend)
    assert states(result) == ["failed", "finished", "finished"]
    assert result.table[0]["error"].startswith("epoch 1: NonFiniteError")
    assert_as_alone(nets[2], 2, backend=backend)


@needs_compiler
def test_after_a_first_member_that_fails_the_others_share_a_step(monkeypatch):
    recorded, record = [], CompiledPasses._record
    monkeypatch.setattr(CompiledPasses, "_record", lambda *given: recorded.append(1) or record(*given))
    nets = [make_net(k) for k in range(8)]
    nets[0].parameters["fc2.weight"].fill_(float("inf"))
    assert states(train(nets, backend="compiled")) == ["failed"] + ["finished"] * 7
    assert len(recorded) <= 3  # of the copy, of the first and of the second


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_that_no_member_uses_may_hold_anything(backend):
    x = X.clone()
    x[:30] = float("nan")
    result = train([make_net(k) for k in range(3)], x, rows=[range(30, 110)] * 3, backend=backend)
    assert states(result) == ["finished"] * 3


@needs_compiler
def test_a_step_is_compiled_on_rows_of_the_member(monkeypatch):
    x, labels = X.clone(), LABELS.clone()
    labels[:30] = 7  # no class, which compiling on these rows would not survive
    seen = []
    prepare = CompiledPasses.__init__
    monkeypatch.setattr(
        CompiledPasses, "__init__", lambda self, engine, place, examples, *rest: (
            seen.append(examples[0]["target"].max().item()), prepare(self, engine, place, examples, *rest)
        )[1],
    )  # fmt: skip
    fit_all(
        [make_net(0), make_net(1)], x, labels, optimizers=Adam(), epochs=1, batch_size=20, rows=[range(30, 110)] * 2,
        backend="compiled", progress=False,
    )  # fmt: skip
    assert seen
    assert max(seen) == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("method", "epochs", "made"), [
    ("on_fit_start", 0, 0), ("on_epoch_start", 1, 1), ("on_epoch_end", 2, 2), ("on_fit_end", 3, 3),
])  # fmt: skip
@pytest.mark.parametrize("kind", [NonFiniteError, SettingError, ValueError])
def test_an_error_of_a_callback(backend, method, epochs, made, kind):
    nets = [make_net(k) for k in range(3)]

    def fail(self, net, stepper, history):
        if net is nets[1] and history.epochs == epochs:
            raise kind("a mistake")

    result = train(nets, callbacks=[type("Failing", (Callback,), {method: fail})()], backend=backend)
    assert states(result) == ["finished", "failed", "finished"]
    epoch = made + (method in ("on_fit_start", "on_epoch_start"))
    assert result.table[1]["error"] == f"epoch {epoch}: {kind.__name__}: a mistake"
    assert result.histories[1].epochs == made
    if made:
        assert_as_alone(nets[1], 1, epochs=made, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_callbacks_run_outside_of_inference_mode(backend):
    modes = []

    class Noting(Callback):
        def on_fit_start(self, net, stepper, history):
            modes.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))

        on_epoch_start = on_epoch_end = on_fit_end = on_fit_start

    train([make_net(k) for k in range(2)], callbacks=[Noting()], backend=backend)
    assert set(modes) == {(False, True)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_of_a_metric(backend):
    calls = []

    def metric(prediction, target):
        calls.append(1)
        if len(calls) == 30:
            raise ValueError("only one class")
        return 0.5

    result = train([make_net(k) for k in range(4)], metrics=[metric], backend=backend, threads=1)
    assert sorted(states(result)) == ["failed"] + ["finished"] * 3
    assert "ValueError: only one class" in next(row["error"] for row in result.table if row["error"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_of_all_members_is_raised(backend):
    def metric(prediction, target):
        raise ValueError("only one class")

    with pytest.raises(ValueError, match="only one class"):
        train([make_net(k) for k in range(3)], metrics=[metric], backend=backend)


def test_an_optimizer_that_needs_too_much_memory_is_refused_before_training():
    nets = [make_net(0, 2), make_net(1, 2), make_net(2, 40)]
    with pytest.raises(SettingError, match="network 2: BFGS: the inverse Hessian of 202 parameters needs"):
        train(nets, optimizers=BFGS(max_bytes=20_000))
    expected = make_net(0, 2)
    assert all(torch.equal(tensor, expected.parameters[name]) for name, tensor in nets[0].parameters.items())
    nets[2].freeze("fc1")
    with pytest.raises(SettingError, match="of 82 parameters needs"):
        train(nets, optimizers=BFGS(max_bytes=20_000))


@pytest.mark.parametrize("backend", BACKENDS)
def test_runs_that_have_ended_are_freed(backend, monkeypatch):
    nets, alive, made, leave = [make_net(k) for k in range(8)], [], weakref.WeakSet(), Training._leave
    nets[1].parameters["fc2.weight"].fill_(float("inf"))

    def note(self, run):
        leave(self, run)
        made.add(run)

    def stop(net, history):
        if net is nets[7] and history.epochs == 4:
            gc.collect()
            alive.append(len(made))
        return net is not nets[7]

    monkeypatch.setattr(Training, "_leave", note)
    train(nets, callbacks=[stop], epochs=4, backend=backend)
    assert alive == [0]
