import os
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graphdl import TensorBoard
from graphdl.errors import MissingPackageError, SettingError
from graphdl.rendering import available
from tests.training.logging.conftest import X, Y


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    events.Reload()
    return events


def scalars(folder, name):
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def test_curves_histograms_diagram_and_settings_are_written(train, tmp_path):
    board = TensorBoard(tmp_path, histograms=True, data=(X, Y), every=2, settings={"folds": "1|2"})
    _, history = train(board, epochs=5)
    events = read(tmp_path)
    expected = [(epoch, pytest.approx(history["loss"][epoch - 1], rel=1e-6)) for epoch in (2, 4, 5)]
    assert scalars(tmp_path, "loss") == expected
    assert [step for step, _ in scalars(tmp_path / "validation", "loss")] == [2, 4, 5]
    names = {f"{kind}/{name}" for kind in ("parameters", "gradients") for name in ("fc1.weight", "norm.bias")}
    assert names <= set(events.Tags()["histograms"])
    assert [event.step for event in events.Histograms("gradients/fc1.weight")] == [2, 4, 5]
    assert events.Histograms("parameters/fc1.weight")[0].histogram_value.num == 16
    texts = {name: events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode() for name in
             ("settings", "network")}  # fmt: skip
    assert "| optimizer | `Adam(lr=0.01" in texts["settings"]
    assert "| folds | `1/2` |" in texts["settings"]
    assert "BatchNorm1d" in texts["network"]
    if available():
        assert events.Images("network")[0].width > 100


def test_the_folder_stays_where_it_is_if_the_directory_changes(train, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    train(lambda net, history: os.chdir(tmp_path / "other"), TensorBoard("board", diagram=False), epochs=2)
    assert [step for step, _ in scalars(tmp_path / "board" / "validation", "loss")] == [1, 2]
    assert not [*(tmp_path / "other").iterdir()]


def test_training_that_continues_replaces_later_entries(train, tmp_path):
    board = TensorBoard(tmp_path, diagram=False)
    net, history = train(board, epochs=4)
    for figures in history._lists.values():
        del figures[2:]
    board.on_fit_start(net, _Stepper, history)
    history.append({"loss": 9.0, "validation_loss": 8.0})
    board.on_epoch_end(net, _Stepper, history)
    board.on_fit_end(net, _Stepper, history)
    assert [step for step, _ in scalars(tmp_path, "loss")] == [1, 2, 3]
    assert scalars(tmp_path, "loss")[-1] == (3, 9.0)


class _Stepper:
    scale, steps = 1.0, 0


def test_without_tensorboard_it_says_what_to_install(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'graphdl\[logging\]'"):
        train(TensorBoard(tmp_path))


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"every": 0}, "every must be"), ({"histograms": 1}, "histograms must be"), ({"data": (X, Y)}, "add histograms")],
)
def test_bad_settings_are_refused(settings, text, tmp_path):
    with pytest.raises(SettingError, match=text):
        TensorBoard(tmp_path, **settings)
