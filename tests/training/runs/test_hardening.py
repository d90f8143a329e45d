"""Run folders in other directories, with children, after errors, with wrong manifests, and without fork."""

import hashlib
import json
import os
import runpy
import signal
import time

import pytest
import torch

from graphdl import Checkpoint, Linear, MSELoss, Network, budget, fit, read_run
from graphdl.errors import FileFormatError, SettingError
from graphdl.files import write_bytes
from graphdl.optim import SGD
from graphdl.training.runs import folder, reading
from graphdl.training.runs.folder import RunFolder

X = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
CHAIN = {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}


def train(checkpoint, *callbacks, epochs=3, **options):
    net = Network({"fc": Linear(2, 2), "loss": MSELoss()}, CHAIN, seed=0)
    options = {"validation": (X, X), **options}
    fit(net, X, X, optimizer=SGD(lr=0.1), epochs=epochs, batch_size=10, callbacks=callbacks, progress=False,
        checkpoint=checkpoint, **options)  # fmt: skip
    return net


def test_a_callback_may_change_the_directory(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    net = train("run", lambda net, history: os.chdir(tmp_path / "other"))
    assert not [*(tmp_path / "other").iterdir()]
    monkeypatch.chdir(tmp_path)
    run = read_run("run")
    monkeypatch.chdir(tmp_path / "other")
    assert run.epoch == 3
    assert torch.equal(run.network("best").parameters["fc.weight"], net.parameters["fc.weight"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_child_that_was_forked_during_training_can_be_ended(number, tmp_path):
    found = []

    def fork(net, history):
        here, there = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(there, b"x")
                time.sleep(20)
            finally:
                os._exit(3)
        os.read(here, 1)  # Python drops signals that come while it forks
        started = time.monotonic()
        os.kill(child, number)
        found.append(os.waitpid(child, 0)[1])
        assert time.monotonic() - started < 10

    train(tmp_path, fork, epochs=1)
    (status,) = found
    if number == signal.SIGTERM:
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGTERM
    else:  # KeyboardInterrupt was raised in the sleep
        assert os.WEXITSTATUS(status) == 3


def test_an_error_of_training_is_not_masked_by_a_signal(tmp_path):
    def fail(net, history):
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("of the callback")

    with pytest.raises(ValueError, match="of the callback"):
        train(tmp_path, fail)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_network_larger_than_files_may_be_is_read(tmp_path, monkeypatch):
    net = train(tmp_path)
    monkeypatch.setattr(reading, "MOST_BYTES", 1)
    run = read_run(tmp_path)
    for which in ("last", "best"):
        assert run.network(which).parameters.keys() == net.parameters.keys()
    with pytest.raises(FileFormatError, match="max_bytes is 10"):
        run.network(max_bytes=10)


def entry(**changes):
    return lambda held: held["checkpoints"][0].update(changes)


@pytest.mark.parametrize("change", [
    lambda held: held.update(settings=[]), lambda held: held.update(about=None), lambda held: held.update(model=3),
    lambda held: held.update(checkpoints={}), lambda held: held.update(checkpoints=[None]),
    lambda held: held.update(ended=1), lambda held: held.update(other=1), lambda held: held.pop("about"),
    lambda held: held.update(best=[]), lambda held: held["best"].update(value="0"),
    lambda held: held["settings"].update(dtype="torch.load"), lambda held: held["settings"].pop("dtype"),
    lambda held: held["settings"].update(dtype=[]), entry(file="../model.json"), entry(file="/etc/passwd"),
    entry(file="epoch-1/../../../a.safetensors"), entry(epoch="3"), entry(epoch=-1), entry(batch=None), entry(new=1),
    lambda held: held["checkpoints"][0].pop("steps"), entry(sha256=None),
])  # fmt: skip
def test_a_manifest_with_other_fields_is_refused(change, tmp_path):
    train(tmp_path, epochs=1)
    path = tmp_path / "run.json"
    whole = json.loads(path.read_text())
    change(whole["run"])
    whole["sha256"] = ""
    whole["sha256"] = hashlib.sha256(folder._text(whole)).hexdigest()
    path.write_bytes(folder._text(whole))
    with pytest.raises(FileFormatError, match=r"run\.json is damaged"):
        read_run(tmp_path)
    with pytest.raises(FileFormatError, match=r"run\.json is damaged"):
        train(tmp_path)


def test_a_run_of_another_version_is_refused(tmp_path):
    """Version 1 has other names for the means within an epoch."""
    train(tmp_path, epochs=1)
    path = tmp_path / "run.json"
    whole = {**json.loads(path.read_text()), "version": 1, "sha256": ""}
    whole["sha256"] = hashlib.sha256(folder._text(whole)).hexdigest()
    path.write_bytes(folder._text(whole))
    for read in (read_run, train):
        with pytest.raises(
            FileFormatError, match="written by another version of graphdl: its format is 'graphdl run' 1"
        ):
            read(tmp_path)


def test_a_network_that_could_not_be_loaded_is_not_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(budget.most_text, "__defaults__", (0,))
    with pytest.raises(SettingError, match=r"with `about`, takes 2,.* bytes as JSON, and at most 1,048,576"):
        train(Checkpoint(tmp_path / "about", about={"text": "a" * 2**21}))
    monkeypatch.setattr(budget, "SHORT_TEXT", 50)
    with pytest.raises(SettingError, match=r"the network takes .* bytes as JSON, and at most 50 can be read"):
        train(tmp_path)
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize("name", ["run.json", "model.json", "checkpoint"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(name, tmp_path):
    train(tmp_path, epochs=1, validation=None)
    path = next((tmp_path / "checkpoints").iterdir()) if name == "checkpoint" else tmp_path / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_run(tmp_path)


def test_modules_are_imported_where_processes_cannot_fork(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    for module in (folder, __import__("graphdl.files", fromlist=["files"])):
        assert runpy.run_path(module.__file__)


def test_a_folder_that_cannot_be_opened_is_written(tmp_path, monkeypatch):
    opened = os.open

    def refusing(path, flags, *mode, **more):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refusing)
    write_bytes(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_the_lock_names_the_process(tmp_path):
    with RunFolder(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == str(os.getpid())
