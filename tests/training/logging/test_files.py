import csv
import json
import math
import os

import pytest

from graphdl import Callback, CSVLogger, GradientNorms, JSONLines
from graphdl.errors import FileFormatError, SettingError
from graphdl.optim import SGD
from graphdl.training.history import History


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def objects(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("compiled", [False, True])
def test_every_epoch_is_a_row(train, tmp_path, compiled):
    path, lines = tmp_path / "new" / "log.csv", tmp_path / "log.jsonl"
    _, history = train(CSVLogger(path), JSONLines(lines), compiled=compiled)
    read, found = rows(path), objects(lines)
    assert list(read[0]) == ["epoch", "updates", "seconds", "loss", "validation_loss"]
    assert [int(row["epoch"]) for row in read] == [each["epoch"] for each in found] == [1, 2, 3]
    assert [int(row["updates"]) for row in read] == [3, 6, 9]
    for name in history:
        assert [float(row[name]) for row in read] == [each[name] for each in found] == history[name]


def test_a_row_is_there_as_soon_as_its_epoch_has_ended(train, tmp_path):
    path, seen = tmp_path / "log.csv", []

    class Reading(Callback):
        def on_epoch_start(self, net, stepper, history):
            seen.append(len(rows(path)))

    train(CSVLogger(path), Reading())
    assert seen == [0, 1, 2]


def drive(logger, net, *epochs, start=()):
    history, stepper = History(), SGD().bind(net)
    for figures in start:
        history.append(figures)
    logger.on_fit_start(net, stepper, history)
    for figures in epochs:
        history.append(figures)
        logger.on_epoch_end(net, stepper, history)


def test_a_figure_that_comes_later_gets_a_column(net, tmp_path):
    logger = CSVLogger(tmp_path / "log.csv")
    drive(logger, net, {"loss": 3.0}, {"loss": 2.0, "late, one": 7.0}, {"loss": 1.0})
    assert [(row["loss"], row["late, one"]) for row in rows(logger.path)] == [("3.0", ""), ("2.0", "7.0"), ("1.0", "")]
    logger = JSONLines(tmp_path / "log.jsonl")
    drive(logger, net, {"loss": math.nan, "b": math.inf}, {"loss": 2.0, "b": 1.0})
    assert [(each["loss"], each["b"]) for each in objects(logger.path)] == [(None, None), (2.0, 1.0)]


@pytest.mark.parametrize("kind", [CSVLogger, JSONLines])
def test_it_continues_after_the_epoch_of_a_checkpoint(kind, net, tmp_path):
    path = tmp_path / "log"
    read = rows if kind is CSVLogger else objects
    drive(kind(path), net, *[{"loss": float(k)} for k in range(5)])
    with path.open("a") as file:
        file.write('{"epoch": 6, "upd')  # the process was killed here
    drive(kind(path), net, {"loss": 30.0}, start=[{"loss": 0.0}, {"loss": 1.0}])
    assert [(int(each["epoch"]), float(each["loss"])) for each in read(path)] == [(1, 0.0), (2, 1.0), (3, 30.0)]


@pytest.mark.parametrize("kind", [CSVLogger, JSONLines])
def test_a_log_without_the_epoch_of_the_checkpoint_keeps_its_rows(kind, net, tmp_path):
    path, read = tmp_path / "log", rows if kind is CSVLogger else objects
    drive(kind(path), net, {"loss": 0.0}, {"loss": 1.0})
    drive(kind(path), net, {"loss": 4.0}, start=[{"loss": 9.0}] * 3)
    drive(kind(path), net, {"loss": 5.0}, start=[{"loss": 9.0}] * 3)
    assert [(int(each["epoch"]), float(each["loss"])) for each in read(path)] == [(1, 0.0), (2, 1.0), (4, 5.0)]


@pytest.mark.parametrize("kind", [CSVLogger, JSONLines])
@pytest.mark.parametrize("first", [True, False])
def test_the_order_of_callbacks_does_not_matter(kind, first, train, tmp_path):
    def add(net, history):
        history.append({"added": float(history.epochs)})

    logger, norms = kind(tmp_path / "log"), GradientNorms([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0]] * 2)
    _, history = train(*([logger, norms, add] if first else [add, norms, logger]))
    found = (rows if kind is CSVLogger else objects)(logger.path)
    for name in ("gradient_norm", "added"):
        assert [float(each[name]) for each in found] == history[name]


@pytest.mark.parametrize("kind", [CSVLogger, JSONLines])
def test_the_file_stays_where_it_is_if_the_directory_changes(kind, train, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    train(lambda net, history: os.chdir(tmp_path / "other"), kind("log"))
    assert len((rows if kind is CSVLogger else objects)(tmp_path / "log")) == 3
    assert not [*(tmp_path / "other").iterdir()]


@pytest.mark.parametrize("kind", [CSVLogger, JSONLines])
def test_it_replaces_or_appends(kind, net, tmp_path):
    read = rows if kind is CSVLogger else objects
    for append, expected in ((False, 1), (False, 1), (True, 2), (True, 3)):
        drive(kind(tmp_path / "log", append=append), net, {"loss": 1.0})
        assert len(read(tmp_path / "log")) == expected


@pytest.mark.parametrize("kind", [CSVLogger, JSONLines])
@pytest.mark.parametrize("text", ['{"epoch": "x"}\n', "a,b\n1,2\n", "epoch,loss\nx,1\n", "[1]\n", "\0\n"])
def test_another_file_is_not_continued(kind, text, net, tmp_path):
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(FileFormatError, match="cannot be continued"):
        drive(kind(path, append=True), net)
    assert path.read_text() == text


def test_a_folder_is_reported_before_training(train, tmp_path):
    with pytest.raises(FileFormatError, match="cannot be written"):
        train(CSVLogger(tmp_path))


def test_networks_of_a_sweep_do_not_share_a_file(net, tmp_path):
    from graphdl.search import fit_all

    with pytest.raises(SettingError, match="CSVLogger writes to one place"):
        fit_all(
            [net], {"x": [[1.0, 2]], "target": [[1.0, 2]]}, optimizers=SGD(), epochs=1, batch_size=1,
            callbacks=[CSVLogger(tmp_path / "log.csv")],
        )  # fmt: skip
