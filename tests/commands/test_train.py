import csv
import json
import signal
import subprocess
import sys
import time

import pandas
import pytest

from graphdl import Network, evaluate, fit
from graphdl.errors import FileFormatError, GraphDLError, GraphDLWarning, SettingError
from graphdl.optim import Adam
from tests.commands.conftest import KINDS, LABELS, POINTS, write_csv

TRAINING = ("--target", "kind", "--epochs", 40, "--lr", 0.02, "--quiet")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_with_texts_is_trained_evaluated_and_predicted(run, model, table, tmp_path, suffix):
    if suffix == "parquet":
        frame = pandas.read_csv(table)
        table = tmp_path / "data.parquet"
        frame.to_parquet(table)
    out = tmp_path / "run"
    text = run("train", model, table, *TRAINING, "--validation", 0.25, "--out", out)
    assert "40 epochs in" in text
    assert "validation accuracy" in text
    found = json.loads(run("evaluate", out, table, "--json"))
    assert found["rows"] == 120
    assert found["figures"]["accuracy"] > 0.85
    turned = write_csv(tmp_path / "turned.csv", {"b": POINTS[:, 1].tolist(), "more": KINDS, "a": POINTS[:, 0].tolist()})
    predicted = json.loads(run("predict", out, turned, "--json"))["predictions"]["kind"]
    right = sum(one == other for one, other in zip(predicted, KINDS, strict=True)) / len(KINDS)
    assert right == pytest.approx(found["figures"]["accuracy"])
    with (out / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 40


def test_it_trains_as_fit_does(run, entropy, arrays, tmp_path, tensors):
    run("train", entropy, arrays, "--epochs", 3, "--lr", 0.01, "--seed", 4, "--quiet", "--out", tmp_path / "run")
    points, labels = tensors
    net = Network.load(entropy, seed=4)
    data = {"x": points, "target": labels}
    fit(net, data, optimizer=Adam(lr=0.01), epochs=3, batch_size=50, metrics=["accuracy"], seed=4)
    figures = json.loads(run("evaluate", tmp_path / "run", arrays, "--json"))["figures"]
    assert figures == evaluate(net, points, labels, metrics=["accuracy"])


def test_numbers_are_predicted_by_a_regression(run, tmp_path):
    from graphdl import Linear, MSELoss

    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    model = net.save(tmp_path / "line.json")
    x, y = POINTS.T.tolist()
    wanted = [2 * a - b for a, b in zip(x, y, strict=True)]
    data = write_csv(tmp_path / "line.csv", {"a": x, "b": y, "price": wanted, "note": KINDS})
    given = ("--target", "price", "--input", "a,b", "--lr", 0.05, "--epochs", 200, "--batch-size", 20, "--quiet")
    run("train", model, data, *given, "--out", tmp_path / "run")
    text = run("predict", tmp_path / "run", data, "-o", tmp_path / "predicted.csv")
    assert "predicted.csv" in text
    found = pandas.read_csv(tmp_path / "predicted.csv")
    assert list(found) == ["price"]
    assert found["price"].to_list() == pytest.approx(wanted, abs=1e-2)
    for suffix, read in ((".parquet", pandas.read_parquet), (".json", lambda path: json.loads(path.read_text()))):
        run("predict", tmp_path / "run", data, "-o", tmp_path / f"predicted{suffix}")
        assert list(read(tmp_path / f"predicted{suffix}")["price"]) == pytest.approx(found["price"].to_list())


def test_several_inputs_take_columns_by_name(run, tmp_path):
    from graphdl import Concat, CrossEntropyLoss, Embedding, Flatten, Linear

    operators = {"table": Embedding(3, 4), "flat": Flatten(), "join": Concat(), "fc": Linear(6, 2)}
    chain = {"word": ["table"], "table": ["flat"], "flat": ["join"], "x": ["join"], "join": ["fc"], "fc": ["loss"]}
    net = Network({**operators, "loss": CrossEntropyLoss()}, {**chain, "y": ["loss"]}, seed=0)
    words = [k % 3 for k in range(120)]
    columns = {"w": words, "a": POINTS[:, 0].tolist(), "b": POINTS[:, 1].tolist(), "kind": LABELS.tolist()}
    data, model = write_csv(tmp_path / "data.csv", columns), net.save(tmp_path / "model.json")
    given = ("--target", "kind", "-i", "word=w", "-i", "x=a,b", "--epochs", 2, "--quiet", "--out", tmp_path / "run")
    run("train", model, data, *given)
    assert "loss" in run("evaluate", tmp_path / "run", data)
    with pytest.raises(SettingError, match=r"Say which columns of .* the input 'word' takes: --input word=a,b"):
        run("train", model, data, "--target", "kind", "-i", "x=a,b", "--out", tmp_path / "other")
    with pytest.raises(FileFormatError, match="must hold whole numbers"):
        run("train", model, data, "-t", "kind", "-i", "x=a,b", "-i", "word=a", "--out", tmp_path / "other")


def test_the_files_of_a_demo_can_be_used(run, tmp_path, arrays):
    run("run", "disc", "--epochs", 3, "--out", tmp_path / "out")
    folder, weights = tmp_path / "out", tmp_path / "out" / "weights.safetensors"
    first = run("evaluate", folder, arrays)
    assert first == run("evaluate", folder / "model.json", arrays, "--weights", weights)
    run(
        "train", folder / "model.json", arrays, "--weights", weights, "--epochs", 1, "--out", tmp_path / "on", "--quiet"
    )
    assert run("evaluate", tmp_path / "on", arrays) != first
    assert run("predict", folder, arrays).startswith("linear7_0,linear7_1\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-t", "knd"), r"has no column 'knd'. Did you mean 'kind'\?"),
        ((), "say which column of .* it is by --target COLUMN. The columns are a, kind and b"),
        (("-t", "kind", "-i", "a,c"), "has no column 'c'"),
        (("-t", "a", "-i", "kind"), "the column 'kind' holds texts such as '(in|out)' and '(in|out)'"),
        (("-t", "a", "-i", "b"), "the column 'a' has 120 different values, such as .* predicts 2 classes"),
        (("-t", "kind", "--optimizer", "Adm"), "Did you mean 'Adam'"),
        (("-t", "kind", "--optimizer", "adam"), "^--optimizer adam: there is no such one. Did you mean 'Adam'"),
        (
            ("-t", "kind", "--optimizer", "{type: SGD}"),
            "is neither a name nor JSON: write Adam, .* in single quotes, '{",
        ),
        (("-t", "kind", "--optimizer", '{"type": "SGD", "momentun": 0.9}'), "^--optimizer: .*'momentum'"),
        (("-t", "kind", "--lr", -1), "lr must be"),
        (("-t", "kind", "--metric", "acuracy"), "no metric 'acuracy'"),
        (("-t", "kind", "--validation", 1.5), "validation is 1.5: Give a share between 0 and 1"),
        (("-t", "kind", "--validation", "absent.csv"), r"absent.csv cannot be read: No such file"),
        (("-t", "kind", "--patience", 3), "--patience needs validation data"),
        (("-t", "z=kind"), "'z' is not an input of this kind. They are target"),
    ],
)
def test_what_is_wrong_is_reported(run, entropy, table, tmp_path, arguments, text):
    with pytest.raises(GraphDLError, match=text):
        run("train", entropy, table, *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", b"a,kind,b\n1,in,2\n1,out\n", "line 3: 2 values, but the header has 3 columns"),
        ("a.csv", b"a,kind,b\n1,in,2\n,out,3\n", "line 3, column 'a': '' is not a finite number"),
        ("a.csv", b"a,kind,b\n1,in,2\n2,,3\n", "line 3, column 'kind': the target is missing"),
        ("a.csv", b"a,kind,b\n", "has no rows"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"\xff\xfe\x00", "is not a CSV file"),
        ("a.npz", b"PK\x03\x04", "is not a .npz file of arrays"),
        ("a.npz", b"nonsense", "is not a .npz file of arrays"),
        ("a.parquet", b"nonsense", "is not a .parquet file of arrays"),
        ("a.txt", b"", "read from files with the suffixes .csv, .tsv, .npz and .parquet"),
        ("absent/a.csv", None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_tables_are_reported(run, entropy, tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=text):
        run("train", entropy, tmp_path / name, "-t", "kind", "--out", tmp_path / "run")


def test_weights_of_another_kind_are_reported(run, entropy, table, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FileFormatError, match="is not a safetensors file"):
        run("train", entropy, table, "-t", "kind", "--weights", tmp_path / "w.safetensors", "--out", tmp_path / "run")
    with pytest.raises(SettingError, match="holds no weights: add --weights"):
        run("evaluate", entropy, table, "-t", "kind")


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_arguments_in_the_wrong_order_are_reported(run, entropy, table, command):
    with pytest.raises(SettingError, match=r"data.csv is a table, and the first argument is the network"):
        run(command, table, entropy)


def test_the_suffixes_of_predictions_are_named(run, entropy, table):
    with pytest.raises(SettingError, match=r"x.txt: the suffix must be .csv, .json, .npz or .parquet\."):
        run("predict", entropy, table, "-o", "x.txt")


def test_classes_that_only_training_knows_are_not_guessed(run, entropy, table, arrays, tmp_path):
    run("train", entropy, arrays, "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    weights = ("--weights", tmp_path / "run" / "weights.safetensors")
    with pytest.raises(SettingError, match="does not say which number"):
        run("evaluate", tmp_path / "run" / "model.json", table, "-t", "kind", *weights)


def test_a_class_that_training_has_not_seen_is_reported(run, entropy, table, tmp_path):
    run("train", entropy, table, *TRAINING[:2], "--epochs", 1, "--out", tmp_path / "run")
    other = write_csv(tmp_path / "other.csv", {"a": [0.0], "kind": ["inn"], "b": [0.0]})
    with pytest.raises(FileFormatError, match=r"has 'inn', which is not one of .* in and out. Did you mean 'in'"):
        run("evaluate", tmp_path / "run", other)
    with pytest.raises(SettingError, match="leave out --input and --target"):
        run("evaluate", tmp_path / "run", table, "-t", "kind")
    missing = write_csv(tmp_path / "missing.csv", {"a": [0.0]})
    with pytest.raises(FileFormatError, match="has no column 'b'"):
        run("predict", tmp_path / "run", missing)


def test_a_training_is_not_overwritten_unasked(run, entropy, table, tmp_path):
    given = ("train", entropy, table, *TRAINING, "--epochs", 1, "--out", tmp_path / "run")
    run(*given)
    with pytest.raises(SettingError, match="holds a training: continue it with graphdl resume"):
        run(*given)
    run(*given, "--overwrite")


def test_resume_needs_the_folder_of_a_training(run, tmp_path):
    with pytest.raises(SettingError, match="is not the folder of a graphdl train"):
        run("resume", tmp_path)
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(FileFormatError, match="was not written by graphdl train"):
        run("resume", tmp_path)


def test_resume_reads_arguments_and_data_again(run, entropy, table, tmp_path):
    run("train", entropy, table, *TRAINING, "--epochs", 2, "--out", tmp_path / "run")
    expected = (tmp_path / "run" / "weights.safetensors").read_bytes()
    (tmp_path / "run" / "weights.safetensors").unlink()
    with pytest.raises(SettingError, match="training has not ended: graphdl resume"):
        run("evaluate", tmp_path / "run", table)
    run("resume", tmp_path / "run", "--quiet")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == expected
    write_csv(table, {"a": [0.0, 1.0], "kind": ["x", "y"], "b": [0.0, 1.0]})
    with pytest.raises(FileFormatError, match="has changed since the training began"):
        run("resume", tmp_path / "run")


def test_resume_says_that_a_training_has_ended_and_trains_longer(run, entropy, table, tmp_path):
    run("train", entropy, table, *TRAINING, "--epochs", 2, "--out", tmp_path / "run")
    told = run("resume", tmp_path / "run")
    assert f"The training has ended. To train longer: graphdl resume {tmp_path / 'run'} --epochs 4\n" in told
    assert "ended" not in run("resume", tmp_path / "run", "--epochs", 4)
    assert "--epochs 8" in run("resume", tmp_path / "run")  # the folder knows how many were asked for
    run("train", entropy, table, *TRAINING, "--epochs", 4, "--out", tmp_path / "whole")
    assert len({(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "whole")}) == 1
    with pytest.raises(SettingError, match="holds a run of 4 epochs, and epochs is 3") as error:
        run("resume", tmp_path / "run", "--epochs", 3)
    assert not {"checkpoint=", "read_run"} & {*str(error.value).replace("'", " ").split()}


def test_summary_and_draw_take_the_folder_of_a_training(run, entropy, table, tmp_path):
    run("train", entropy, table, *TRAINING, "--epochs", 1, "--out", tmp_path / "run")
    assert "Linear 2 → 8" in run("summary", tmp_path / "run")
    assert run("draw", tmp_path / "run", "-o", tmp_path / "net.dot").split() == [str(tmp_path / "net.dot")]


def test_resume_continues_from_the_checkpoint_before_a_damaged_one(run, entropy, table, tmp_path):
    run("train", entropy, table, *TRAINING, "--epochs", 2, "--out", tmp_path / "run")
    run("resume", tmp_path / "run", "--epochs", 4, "--quiet")
    expected = (tmp_path / "run" / "weights.safetensors").read_bytes()
    (last,) = (tmp_path / "run" / "checkpoints").rglob("epoch-0004*")
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(GraphDLWarning, match="continues from the checkpoint before it"):
        assert "has ended" not in run("resume", tmp_path / "run", "--quiet")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == expected
    (last,) = (tmp_path / "run" / "checkpoints").rglob("epoch-0004*")
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(GraphDLWarning, match="continues from the checkpoint before it"):
        run("resume", tmp_path / "run", "--quiet", "--epochs", 3)


def test_resume_says_that_early_stopping_has_ended_a_training(run, entropy, table, tmp_path):
    stopping = ("--validation", 0.2, "--patience", 1, "--lr", 10.0, "--epochs", 50)
    run("train", entropy, table, "-t", "kind", *stopping, "--out", tmp_path / "run")
    assert "Early stopping has ended the training after" in run("resume", tmp_path / "run")


def test_an_interruption_ends_with_130(entropy, table, tmp_path):
    command = [sys.executable, "-m", "graphdl", "train", entropy, table, "-t", "kind", "--epochs", 10**7, "--quiet",
               "--out", tmp_path / "run"]  # fmt: skip
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, and the process inherits that
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, usual)
    try:
        deadline = time.monotonic() + 60
        log = tmp_path / "run" / "log.csv"
        while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 200):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == f"Interrupted: continue with graphdl resume {tmp_path / 'run'}\n"
    finally:
        process.kill()
        process.communicate()
