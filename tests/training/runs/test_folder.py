"""What a run folder holds, refuses and survives."""

import json
import os
import random
import shutil
import signal
import threading
import time

import pytest
import torch

from graphdl import BatchNorm1d, Callback, Checkpoint, EarlyStopping, Linear, MSELoss, Network, Tanh, fit, read_run
from graphdl.data import disc, one_hot
from graphdl.errors import FileFormatError, GraphDLError, GraphDLWarning, SettingError
from graphdl.optim import SGD, Adam
from graphdl.training.runs.folder import RunFolder
from graphdl.training.runs.stored import encoded, read_state

X, LABELS = disc(60, seed=0)
Y = one_hot(LABELS, 2)
CHAIN = {"x": ["fc1"], "fc1": ["norm"], "norm": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}


def network(width=4, **operators):
    held = {"fc1": Linear(2, width), "norm": BatchNorm1d(width), "tanh": Tanh(), "fc2": Linear(width, 2)}
    return Network({**held, "loss": MSELoss(), **operators}, CHAIN, seed=0)


def train(checkpoint, net=None, inputs=X, **options):
    options = {"optimizer": Adam(lr=0.01), "epochs": 3, "batch_size": 20, "progress": False, **options}
    return fit(net or network(), inputs, Y, checkpoint=checkpoint, **options)


@pytest.mark.parametrize(("changes", "message"), [
    ({"batch_size": 30}, "holds another run: batch_size was 20 and is 30. Call fit as before"),
    ({"net": network(5)}, "operators: 'fc1': out_features was 4 and is 5, operators: 'norm': num_features was 4 and"),
    ({"net": network(tanh=Linear(4, 4))}, "operators: 'tanh': type was \"Tanh\" and is \"Linear\""),
    ({"net": network().freeze("fc1")}, r"frozen\[0\] is new: \"'fc1'\""),
    ({"optimizer": Adam(lr=0.02)}, "optimizer: lr was 0.01 and is 0.02"),
    ({"optimizer": SGD(lr=0.01)}, 'optimizer: class was "graphdl.optim.adam.Adam" and is "graphdl.optim.sgd.SGD"'),
    ({"inputs": X[:, :1].repeat(1, 2)}, r"inputs: x was float32 \(60, 2\), sha256 \w+ and is float32"),
    ({"validation": (X, Y)}, "validation was null and is"),
    ({"seed": 1}, "seed was null and is 1"),
    ({"compile": True, "accumulate": 2}, "compile was false and is true and accumulate was 1 and is 2"),
    ({"callbacks": [EarlyStopping("loss", 3)]}, r"callbacks\[0\] is new: .*EarlyStopping.*patience"),
    ({"clip_norm": 1.0, "shuffle": False}, "shuffle was true and is false and clip_norm was null and is 1.0"),
])  # fmt: skip
def test_another_run_is_refused(changes, message, tmp_path):
    train(tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(SettingError, match=message):
        train(tmp_path, **changes)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert train(tmp_path).epochs == 3  # and the lock is free


def test_a_finished_run_returns_its_history_at_once_and_goes_on_with_more_epochs(tmp_path):
    class Counting(Callback):
        steps = 0

        def on_step_end(self, net, stepper, history):
            Counting.steps += 1

    callbacks = [Counting(), EarlyStopping("loss", patience=50)]
    first = train(tmp_path, callbacks=callbacks)
    assert Counting.steps == 9
    net = network()
    assert dict(train(tmp_path, net=net, callbacks=callbacks)) == dict(first)
    assert Counting.steps == 9
    assert torch.equal(net.parameters["fc1.weight"], read_run(tmp_path).network().parameters["fc1.weight"])
    assert train(tmp_path, callbacks=callbacks, epochs=5).epochs == 5
    assert Counting.steps == 15


def test_fewer_epochs_than_were_made_or_begun_are_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(SettingError, match=r"holds a run of 3 epochs, and epochs is 2, the number in all: give"):
        train(tmp_path, epochs=2)
    assert train(tmp_path).epochs == 3  # and the folder is as it was


def test_as_many_epochs_as_were_made_are_refused_if_the_next_has_begun(tmp_path):
    class Interrupting(Callback):
        def on_step_end(self, net, stepper, history):
            if stepper.steps == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Checkpoint(tmp_path, steps=1), callbacks=[Interrupting()])
    with pytest.raises(SettingError, match="holds a run of 1 epoch and a part of the next, and epochs is 1"):
        train(tmp_path, callbacks=[Interrupting()], epochs=1)


def test_a_run_that_a_callback_ended_stays_ended(tmp_path):
    stop = [EarlyStopping("loss", patience=1)]
    frozen = {"optimizer": SGD(lr=0.0), "shuffle": False, "epochs": 8}
    first = train(tmp_path, callbacks=stop, **frozen)
    assert first.epochs < 8
    assert read_run(tmp_path).ended
    assert dict(train(tmp_path, callbacks=stop, **{**frozen, "epochs": 20})) == dict(first)


def test_the_best_and_the_last_network(tmp_path):
    best = {}

    def keep(net, history):
        if history["validation_loss"][-1] == min(history["validation_loss"]):
            best.update(net.state_dict())

    net = network()
    rough = {"optimizer": SGD(lr=1.5), "epochs": 12, "validation": (X[:20], Y[:20]), "callbacks": [keep]}
    history = train(Checkpoint(tmp_path, epochs=5, keep=2), net=net, **rough)
    run = read_run(tmp_path)
    losses = history["validation_loss"]
    assert run.best == {"epoch": losses.index(min(losses)) + 1, "monitor": "validation_loss", "value": min(losses)}
    assert run.best["epoch"] not in (5, 10, 12)  # none that was stored for another reason
    for which, expected in (("best", best), ("last", net.state_dict())):
        found = run.network(which).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert dict(run.history) == dict(history)
    assert (run.epoch, run.batch, run.ended) == (12, 0, False)
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"best-{run.best['epoch']:04}", "epoch-0010", "epoch-0012"]
    stepper = SGD(lr=1.5).bind(net)
    stepper.load_state_dict(run.stepper_state())
    assert stepper.steps == 36


def test_files_that_do_not_count_are_removed(tmp_path):
    train(tmp_path)
    held = set((tmp_path / "checkpoints").iterdir())
    for name in ("epoch-0001-12345678.safetensors", ".part-0123456789abcdef.safetensors"):
        (tmp_path / "checkpoints" / name).touch()
    train(tmp_path)
    assert set((tmp_path / "checkpoints").iterdir()) == held


def test_what_the_caller_stores(tmp_path):
    train(Checkpoint(tmp_path, about={"command": ["train", "a.csv"]}))
    train(tmp_path, epochs=4)
    assert read_run(tmp_path).about == {"command": ["train", "a.csv"]}


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda path: Checkpoint(path, epochs=0), "Checkpoint: epochs must be a whole number of at least 1, not 0"),
    (lambda path: Checkpoint(3), "Checkpoint: folder must be a folder, as 'runs/disc', not 3"),
    (lambda path: "", "Checkpoint: folder must be"),
    (lambda path: Checkpoint(path, about={1: 2}), "about must be a dictionary of plain data"),
    (lambda path: Checkpoint(path, about={"x": X}), "about must hold plain data that JSON can store"),
    (lambda path: Checkpoint(path, monitor="los"), "Checkpoint: there is no 'los' to monitor. Did you mean 'loss'"),
    (lambda path: path / "file" / "run", "cannot be made: Not a directory"),
    (lambda path: path / "with\0null", "cannot be made: embedded null byte"),
    (lambda path: path / "blocked", "cannot be made: Is a directory"),
])  # fmt: skip
def test_wrong_settings(wrong, message, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "blocked" / "lock").mkdir(parents=True)
    with pytest.raises(SettingError, match=message):
        train(wrong(tmp_path))


def test_a_folder_with_another_model_is_left_alone(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(SettingError, match=r"holds a model\.json that belongs to no run"):
        train(tmp_path)
    assert (tmp_path / "model.json").read_text() == "{}"


def test_a_folder_that_is_removed_during_training(tmp_path):
    def remove(net, history):
        if history.epochs == 2:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(FileFormatError, match=r"run was removed, or its model\.json, while the run was stored in it"):
        train(Checkpoint(tmp_path / "run", epochs=1), callbacks=[remove])
    assert not (tmp_path / "run").exists()


class Stateful(Callback):
    def __init__(self):
        self.values = {1: (torch.ones(2), 3)}

    def state_dict(self):
        return self.values

    def load_state_dict(self, state):
        self.values = state


def test_states_of_callbacks(tmp_path):
    class Forgetful(Callback):
        def __init__(self):
            self.count = 0

    with pytest.warns(GraphDLWarning, match=r"callbacks\[1\] \(Forgetful\) has attributes and no state_dict"):
        train(tmp_path, callbacks=[Stateful(), Forgetful()])
    callback = Stateful()
    callback.values = {}
    with pytest.warns(GraphDLWarning, match="Forgetful"):
        train(tmp_path, callbacks=[callback, Forgetful()])
    tensor, number = callback.values[1]
    assert (tensor.tolist(), number) == ([1.0, 1.0], 3)
    wrong = Stateful()
    wrong.values = {"held": {1, 2}}
    with pytest.raises(SettingError, match=r"checkpoint: callbacks.0.held is an instance of set, which cannot be"):
        train(tmp_path / "other", callbacks=[wrong])


def test_one_process_at_a_time(tmp_path):
    messages = []

    def nested(net, history):
        with pytest.raises(SettingError, match=f"Another training run, in process {os.getpid()}, writes into") as error:
            train(tmp_path)
        messages.append(error.value)
        read_run(tmp_path)  # reading is allowed

    train(tmp_path, epochs=1)
    train(tmp_path / "other", callbacks=[lambda net, history: RunFolder(tmp_path).read()], epochs=1)
    with RunFolder(tmp_path).locked():
        nested(None, None)
        child = os.fork()
        if not child:  # it lives on, and does not hold the lock of its parent
            time.sleep(3)
            os._exit(0)
    train(tmp_path, epochs=2)
    assert messages
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_is_used(tmp_path):
    expected = train(Checkpoint(tmp_path, epochs=1))
    last = max((tmp_path / "checkpoints").iterdir())
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    last.write_bytes(content)
    with pytest.raises(FileFormatError, match="is damaged"):
        read_run(tmp_path)
    with pytest.warns(GraphDLWarning, match="is damaged.* Training continues from the checkpoint before it"):
        assert dict(train(tmp_path)) == dict(expected)
    assert dict(read_run(tmp_path).history) == dict(expected)


def test_every_flipped_bit_is_detected(tmp_path, request):
    train(Checkpoint(tmp_path, epochs=1), validation=(X, Y), epochs=2)
    drawn = random.Random(0)
    files = [path for path in sorted(tmp_path.rglob("*.*")) if path.is_file()]
    assert {path.name.split("-")[0] for path in files} == {"run.json", "model.json", "epoch", "best"}
    folder = RunFolder(tmp_path)
    manifest = folder.read()

    def read_all():
        assert folder.read() == manifest
        folder.read_model(manifest)
        for entry in [*manifest.checkpoints, manifest.best]:
            folder.read_checkpoint(entry)

    for k in range(1000 if request.config.getoption("--every-check") else 200):
        path = files[k % len(files)]
        content = path.read_bytes()
        flipped = bytearray(content)
        place = drawn.randrange(8 * len(content))
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(FileFormatError):
            read_all()
        path.write_bytes(content)
    read_all()


def test_a_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match=r"is not the folder of a run: it has no run\.json"):
        read_run(tmp_path)
    train(tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(FileFormatError, match="does not exist"):
        read_run(tmp_path)


@pytest.mark.parametrize("state", [
    {"a": {"$tensor": 1}}, {"a": {1: {"b": torch.arange(3)}}}, {"x": (1, [2.5, None, float("inf")])},
    {"ema": {"fc.weight": torch.arange(2)}, "ema.fc": {"weight": torch.arange(3)}},
    {1: torch.arange(2), "1": torch.arange(3), "1'": torch.arange(4)},
    {"e": torch.empty(0), "s": torch.tensor(2), "b": torch.tensor([True])},
])  # fmt: skip
def test_states_come_back_as_they_were(state, tmp_path):
    content, digest = encoded("test", state)
    (tmp_path / "file").write_bytes(content)
    found = read_state(tmp_path / "file", "test", digest)
    assert str(found) == str(state)
    with pytest.raises(FileFormatError, match="its format is 'test', not 'other'"):
        read_state(tmp_path / "file", "other")


def send(number):
    def hook(net, history):
        if history.epochs == 2:
            os.kill(os.getpid(), number)

    return hook


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[send(signal.SIGINT)], epochs=4)
    assert read_run(tmp_path).history.epochs == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_sigterm_is_called_after_the_checkpoint(tmp_path):
    found = []

    def handler(number, frame):
        found.append(read_run(tmp_path).history.epochs)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        assert train(tmp_path, callbacks=[send(signal.SIGTERM)], epochs=4).epochs == 4
        assert found == [2]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_ends_the_process_after_the_checkpoint(tmp_path):
    child = os.fork()
    if not child:
        try:
            train(tmp_path, epochs=10**6)
        finally:
            os._exit(3)
    deadline = time.monotonic() + 30
    while not (tmp_path / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    run = read_run(tmp_path)
    assert run.epoch + run.batch > 0
    expected = train(tmp_path / "other", epochs=run.epoch + 1)
    assert dict(train(tmp_path, epochs=run.epoch + 1)) == dict(expected)


def test_outside_the_main_thread_signals_are_left_alone(tmp_path):
    errors = []

    def work():
        try:
            train(tmp_path)
        except GraphDLError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors
    assert read_run(tmp_path).epoch == 3


def test_the_manifest_is_plain_json(tmp_path):
    train(tmp_path)
    held = json.loads((tmp_path / "run.json").read_text())
    assert held["format"] == "graphdl run"
    assert held["run"]["settings"]["optimizer"]["lr"] == 0.01
