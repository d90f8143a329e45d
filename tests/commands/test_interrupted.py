"""What can be done with the folder of a training that was stopped."""

import os
import signal

import pytest

import graphdl.commands.train
from graphdl.errors import GraphDLError, SettingError


class Stop:
    """Interrupts training after some steps."""

    __slots__ = ("made", "steps")

    def __init__(self, steps=None):
        self.steps, self.made = steps, 0

    def on_step_end(self, net, stepper, history):
        self.made += 1
        if self.made == self.steps:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def stopped(run, entropy, table, tmp_path, monkeypatch):
    """The folder of a training that was interrupted after two of the three steps of the second epoch."""
    usual, fit = signal.signal(signal.SIGINT, signal.default_int_handler), graphdl.commands.train.fit
    steps = iter([5])

    def interrupted(*given, callbacks, **more):
        return fit(*given, callbacks=[*callbacks, Stop(next(steps, None))], **more)

    monkeypatch.setattr(graphdl.commands.train, "fit", interrupted)
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        run("train", entropy, table, "-t", "kind", "--epochs", 9, "--quiet", "--out", tmp_path / "a run")
    signal.signal(signal.SIGINT, usual)
    return tmp_path / "a run"


def test_its_network_is_shown(run, stopped):
    assert "Linear 2 → 8" in run("summary", stopped)
    assert run("draw", stopped, "-o", stopped.parent / "net.dot")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_it_can_be_ended_as_it_is(run, stopped, table, command):
    with pytest.raises(SettingError, match=r"graphdl resume '.*a run' --epochs 2 ends it there\.$"):
        run(command, stopped, table)
    assert "Training continues in epoch 2 of 2." in run("resume", stopped, "--epochs", 2)
    assert run(command, stopped, table)


def test_resume_says_that_there_is_no_checkpoint(run, entropy, table, tmp_path):
    out = tmp_path / "run"
    run("train", entropy, table, "-t", "kind", "--epochs", 1, "--quiet", "--out", out)
    for path in (out / "checkpoints").iterdir():
        if path.is_file():
            path.unlink()
    assert "No checkpoint was written yet: training starts from the beginning." in run("resume", out, "--quiet")


def test_arguments_are_checked_before_the_folder(run, entropy, table, tmp_path):
    given = ("train", entropy, table, "--epochs", 1, "--quiet", "--out", tmp_path)
    run(*given, "-t", "kind")
    with pytest.raises(GraphDLError, match="has no column 'knd'"):
        run(*given, "-t", "knd")
