"""A sweep goes on where it stopped, with the same results."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch

from graphdl import Callback, Dropout, EarlyStopping, Linear, MSELoss, Network, ReduceOnPlateau
from graphdl.data import disc, one_hot
from graphdl.errors import FileFormatError, SettingError
from graphdl.operators import Operator
from graphdl.optim import SGD, Adam
from graphdl.optim.schedules import Schedule
from graphdl.search import Halving, checkpoint, sweep
from graphdl.search.identity import name_of
from graphdl.search.member import Member, Recipe

X, LABELS = disc(90, seed=0)
Y = one_hot(LABELS, 2)


def build(setting):
    operators = {
        "fc1": Linear(2, setting["width"]),
        "drop": Dropout(0.2),
        "fc2": Linear(out_features=2),
        "loss": MSELoss(),
    }
    return operators, {"x": ["fc1"], "fc1": ["drop"], "drop": ["fc2"], "fc2": ["loss"], "target": ["loss"]}


def run(**changes):
    options = {
        "over": {"width": [3, 4], "seed": range(2)}, "optimizer": Adam(lr=0.01), "epochs": 6, "batch_size": 20,
        "validation": (X[:30], Y[:30]), "compile": False, "progress": False,
    }  # fmt: skip
    return sweep(build, X, Y, **(options | changes))


class Interrupt(Callback):
    """Ends a sweep after some epochs of all members together."""

    left = 0

    def on_epoch_start(self, net, stepper, history):
        Interrupt.left -= 1
        if Interrupt.left == 0:
            raise KeyboardInterrupt

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def assert_same(result, expected):
    assert [dict(history) for history in result.histories] == [dict(history) for history in expected.histories]
    for one, other in zip(result.networks, expected.networks, strict=True):
        assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())
    rows = [[{**row, "seconds": 0} for row in each.table] for each in (result, expected)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("after", [2, 9, 17, 24])
def test_a_sweep_goes_on_where_it_was_interrupted(after, compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    callbacks = [Interrupt(), EarlyStopping(patience=3), ReduceOnPlateau(patience=0)]
    options = {"callbacks": callbacks, "compile": compiled, "backend": "compiled" if compiled else None}
    Interrupt.left = -1
    expected = run(**options)
    Interrupt.left = after
    partial = run(checkpoint=tmp_path, **options)
    assert partial.complete == (Interrupt.left > 0)
    Interrupt.left = -1
    result = run(checkpoint=tmp_path, **options)
    made = sum(history.epochs for history in expected.histories)
    again = made if compiled else made - max(0, after - 1)  # epochs in other threads may be made twice, others not
    assert -Interrupt.left - 1 <= again
    assert_same(result, expected)
    Interrupt.left = -1
    assert_same(run(checkpoint=tmp_path, **options), expected)
    assert Interrupt.left == -1  # nothing was trained


def test_members_with_other_callbacks_begin_again(tmp_path, monkeypatch):
    class Counting(Callback):
        pass

    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    Interrupt.left = 9
    run(checkpoint=tmp_path, callbacks=[Interrupt(), Counting()])
    assert len(list(tmp_path.iterdir())) == 1
    Interrupt.left = -1
    assert_same(run(checkpoint=tmp_path, callbacks=[Interrupt(), Counting()]), run())


def test_a_larger_sweep_takes_what_is_there(tmp_path):
    Interrupt.left = -1
    run(checkpoint=tmp_path, callbacks=[Interrupt()])
    Interrupt.left = -1
    result = run(checkpoint=tmp_path, callbacks=[Interrupt()], over={"width": [3, 4], "seed": range(3)})
    assert Interrupt.left == -1 - 2 * 6
    assert_same(result, run(over={"width": [3, 4], "seed": range(3)}))


@pytest.mark.parametrize("after", [3, 8, 11, 14])
def test_halving_goes_on(after, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    options = {"over": {"width": [2, 3, 4, 5]}, "halving": Halving(factor=2, first=2), "callbacks": [Interrupt()]}
    Interrupt.left = -1
    expected = run(**options)
    Interrupt.left = after
    assert not run(checkpoint=tmp_path, **options).complete
    Interrupt.left = -1
    assert_same(run(checkpoint=tmp_path, **options), expected)


@pytest.mark.parametrize("changes", [
    {"epochs": 7}, {"batch_size": 21}, {"optimizer": Adam(lr=0.02)}, {"clip_norm": 1.0}, {"metrics": ("accuracy",)},
    {"validation": (X[:20], Y[:20])}, {"over": {"width": [5]}}, {"callbacks": [EarlyStopping()]},
    {"halving": Halving()}, {"shuffle": False},
])  # fmt: skip
def test_another_sweep_is_recognised(changes, tmp_path):
    run(checkpoint=tmp_path, over={"width": [3]})
    with pytest.raises(SettingError, match="holds 1 members of other sweeps and none of this one"):
        run(**({"over": {"width": [3]}, "checkpoint": tmp_path} | changes))


class Falling(Schedule):
    def __init__(self, start):
        self.start = start

    def at(self, t):
        return self.start / (1 + t)


@dataclass(frozen=True)
class Shown(Falling):
    start: float


class Doubled(Operator):
    """An operator without settings, whose text is its address."""

    def forward(self, p, x, *, training):
        return 2 * x, None

    def backward(self, p, saved, dy):
        return (2 * dy,), {}


class Scaled(Doubled):
    def __init__(self, factor):
        self.factor = factor


def mean(prediction, target):
    return prediction.mean()


def mean_of_targets(prediction, target):
    return target.mean()


@pytest.mark.parametrize(("changes", "message"), [
    ({"optimizer": SGD(lr=Falling(0.1))}, "checkpoint: lr of the optimizer is <.*Falling.*> *, which does not say"),
    ({"metrics": [lambda prediction, target: 0.5]}, r"metrics\[0\] is <lambda>, and a later run could not"),
    ({"callbacks": [lambda net, history: None]}, r"callbacks\[0\] is <lambda>"),
])  # fmt: skip
def test_what_a_later_run_could_not_recognise(changes, message, tmp_path):
    with pytest.raises(SettingError, match=message):
        run(checkpoint=tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_names_of_members():
    def named(middle=None, optimizer=None, **recipe):
        operators, connectivity = build({"width": 3})
        net = Network(operators | {"drop": middle or Dropout(0.2)}, connectivity, seed=0).build({"x": (2,)})
        return name_of(Member(0, net, optimizer or Adam()), Recipe(3, 20, **recipe), "data")

    assert named() == named()
    assert named(Doubled()) == named(Doubled()) != named()
    assert named(optimizer=SGD(lr=Shown(0.1))) == named(optimizer=SGD(lr=Shown(0.1)))
    assert named(optimizer=SGD(lr=Shown(0.1))) != named(optimizer=SGD(lr=Shown(0.2)))
    assert named(metrics=[mean]) != named(metrics=[mean_of_targets])
    assert named(callbacks=[mean]) != named(callbacks=[mean_of_targets])
    with pytest.raises(SettingError, match=r"the operator of node 'drop' is <.*Scaled object"):
        named(Scaled(3))


def test_damaged_files(tmp_path):
    run(checkpoint=tmp_path, over={"width": [3]})
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match="Remove it"):
        run(checkpoint=tmp_path, over={"width": [3]})


PROGRAM = """
import sys
from graphdl import Callback
from graphdl.search import checkpoint
from tests.search.test_checkpoint import run
checkpoint.SECONDS = 0.0
print("begun", flush=True)
run(checkpoint=sys.argv[1], epochs=200)
"""


def test_a_sweep_goes_on_after_a_kill(tmp_path, monkeypatch):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], env=environment, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.glob("*.safetensors"))
    result = run(checkpoint=tmp_path, epochs=200)
    assert_same(result, run(epochs=200))


def test_a_run_that_fails_after_it_was_resumed_keeps_what_was_stored():
    from graphdl.search.run import Run
    from graphdl.search.shared import SharedData
    from graphdl.search.state import resume, state_of
    from graphdl.search.ways import OneByOne, settle

    def begun():
        net = Network(*build({"width": 3}), seed=0)
        return Run(Member(0, net, Adam()), Recipe(3, 20), SharedData("inputs", X, Y), None)

    one, other = begun(), begun()
    ((_, figures),) = next(OneByOne(False, 1)([one], 3))
    settle(one, figures, 0.0)
    state = state_of(one)
    resume(other, state)
    other.member.net.parameters["fc1.weight"].zero_()
    other.fail("test")
    assert other.member.error == "epoch 2: test"
    assert torch.equal(other.member.net.parameters["fc1.weight"], state.values["network"]["fc1.weight"])
