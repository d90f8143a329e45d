"""What a training leaves in its folder when it is refused, replaced or interrupted."""

import json

import pytest

import graphdl.commands.train
from graphdl import Network
from graphdl.errors import FileFormatError, GraphDLError, SettingError
from graphdl.training import History
from graphdl.training.rows import hold_out
from tests.commands.conftest import write_csv

FILES = ("train.json", "weights.safetensors", "log.csv", "model.json")


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED = [
    (("--validation", 0), "validation is 0"),
    (("--validation", 1.5), "validation is 1.5"),
    (("--validation", "nan"), "validation is nan"),
    (("--metric", "foo"), "no metric 'foo'"),
    (("--lr", "nan"), "--lr must be a finite number, 0 or more, not nan"),
    (("--target", "knd"), "has no column 'knd'"),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_a_refused_training_leaves_nothing_behind(run, entropy, table, tmp_path, arguments, text):
    out = tmp_path / "run"
    with pytest.raises(GraphDLError, match=text):
        run("train", entropy, table, "-t", "kind", *arguments, "--out", out)
    assert not out.exists()
    (tmp_path / "deep").mkdir()
    with pytest.raises(GraphDLError, match=text):
        run("train", entropy, table, "-t", "kind", *arguments, "--out", tmp_path / "deep" / "a" / "b")
    assert not [*(tmp_path / "deep").iterdir()]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_a_refused_training_does_not_touch_the_one_that_it_would_replace(
    run, entropy, table, tmp_path, arguments, text
):
    out = tmp_path / "run"
    run("train", entropy, table, "-t", "kind", "--epochs", 2, "--quiet", "--out", out)
    before = content(out)
    assert {*FILES} < {*before}
    with pytest.raises(GraphDLError, match=text):
        run("train", entropy, table, "-t", "kind", *arguments, "--out", out, "--overwrite")
    assert content(out) == before


def test_a_training_is_replaced_as_a_whole(run, entropy, table, tmp_path):
    given = ("train", entropy, table, "-t", "kind", "--epochs", 2, "--quiet")
    run(*given, "--out", tmp_path / "old", "--seed", 1)
    run(*given, "--out", tmp_path / "old", "--overwrite")
    run(*given, "--out", tmp_path / "new")
    assert len(content(tmp_path / "old")) == len(content(tmp_path / "new"))
    for name in ("train.json", "weights.safetensors"):
        assert (tmp_path / "old" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    assert (tmp_path / "new" / "checkpoints").is_dir()


def test_what_the_new_training_reads_is_not_deleted(run, entropy, table, tmp_path):
    out = tmp_path / "run"
    run("train", entropy, table, "-t", "kind", "--epochs", 1, "--quiet", "--out", out)
    before = content(out)
    with pytest.raises(SettingError, match=r"--overwrite would delete .*run, which the new training reads"):
        run("train", out, table, "--out", out, "--overwrite")
    with pytest.raises(SettingError, match=r"--overwrite would delete .*weights.safetensors"):
        run(
            "train", entropy, table, "-t", "kind", "--weights", out / "weights.safetensors", "--out", out, "--overwrite"
        )
    assert content(out) == before
    run("train", out / "model.json", table, "-t", "kind", "--epochs", 1, "--quiet", "--out", out, "--overwrite")


@pytest.mark.parametrize("share", [float("nan"), float("inf"), -0.5, 0, 1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(SettingError, match="Give a share between 0 and 1"):
        hold_out(10, share, 0)


def test_an_interruption_tells_how_to_continue(run, entropy, table, tmp_path, monkeypatch):
    def interrupted(*given, callbacks, **more):
        for callback in callbacks[:1]:
            callback.on_fit_start(*given[:1], None, History())
        raise KeyboardInterrupt

    monkeypatch.setattr(graphdl.commands.train, "fit", interrupted)
    told = []
    monkeypatch.setattr(graphdl.commands.train.errors, "print", lambda text, **how: told.append(text))
    out = tmp_path / "a run"
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        run("train", entropy, table, "-t", "kind", "--out", out)
    assert told == [f"Interrupted: continue with graphdl resume '{out}'"]
    monkeypatch.undo()
    run("resume", out, "--quiet")
    assert (out / "weights.safetensors").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held["inputs"].update(z=held["inputs"].pop("x")),
        lambda held: held["targets"].clear(),
        lambda held: held["targets"]["target"].update(form="labels"),
        lambda held: held["targets"]["target"].update(form=["indices"]),
        lambda held: held["targets"]["target"].update(columns="kind"),
        lambda held: held["targets"]["target"].update(columns=[]),
        lambda held: held["targets"]["target"].update(columns=["kind", "a"]),
        lambda held: held["targets"]["target"].update(classes=[1, 2]),
        lambda held: held["targets"]["target"].update(classes=None),
        lambda held: held["targets"]["target"].update(low="x"),
        lambda held: held["inputs"].update(x=[["a"], "b"]),
        lambda held: held["inputs"].update(x=[]),
    ],
)
def test_damaged_columns_are_reported(run, entropy, table, tmp_path, change):
    out = tmp_path / "run"
    run("train", entropy, table, "-t", "kind", "--epochs", 1, "--quiet", "--out", out)
    record = json.loads((out / "train.json").read_text())
    change(record["encoding"])
    (out / "train.json").write_text(json.dumps(record))
    with pytest.raises(FileFormatError, match="stored columns"):
        run("evaluate", out, table)


@pytest.mark.parametrize("change", [{"optimizer": 5}, {"target": "kind"}, {"lr": "x"}, {"epochs": None}, {"more": 1}])
def test_damaged_arguments_are_reported(run, entropy, table, tmp_path, change):
    out = tmp_path / "run"
    run("train", entropy, table, "-t", "kind", "--epochs", 1, "--quiet", "--out", out)
    record = json.loads((out / "train.json").read_text())
    record["arguments"].update(change)
    (out / "train.json").write_text(json.dumps(record))
    with pytest.raises(FileFormatError, match="stored arguments of a training are damaged"):
        run("resume", out)


def test_a_class_without_a_label_is_predicted_as_its_number(run, tmp_path):
    from graphdl import CrossEntropyLoss, Linear

    net = Network(
        {"fc": Linear(1, 3), "loss": CrossEntropyLoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0
    )
    net.parameters["fc.bias"][2] = 100.0
    data = write_csv(tmp_path / "data.csv", {"a": [1.0, 2.0], "kind": ["in", "out"]})
    given = ("-t", "kind", "--lr", 0, "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    run("train", net.save(tmp_path / "net.graphdl"), data, *given)
    assert run("predict", tmp_path / "run", data) == "kind\n2\n2\n"
