"""Sweeps declared in files."""

import copy
import csv
import json

import numpy
import pytest
import torch
from safetensors.torch import load_file

from graphdl import Network
from graphdl.data import disc, one_hot
from graphdl.errors import GraphDLError
from graphdl.optim import L1, L2, SGD, Adam, Cosine
from graphdl.search import sweep, sweep_file
from tests.test_cli import invoke

SPEC = {
    "data": {"name": "disc", "rows": 80, "seed": 3, "one_hot": True},
    "network": {
        "operators": {
            "fc1": {"type": "Linear", "out_features": {"$": "width"}},
            "middle": {"$": "activation"},
            "fc2": {"type": "Linear", "out_features": 2},
            "loss": {"type": "MSELoss"},
        },
        "connectivity": {"x": ["fc1"], "fc1": ["middle"], "middle": ["fc2"], "fc2": ["loss"], "target": ["loss"]},
    },
    "over": {"width": [3, 4], "activation": [{"type": "ReLU"}, {"type": "Tanh"}], "lr": [0.1], "seed": [0, 1]},
    "optimizer": {
        "type": "Adam", "lr": {"type": "Cosine", "high": {"$": "lr"}, "steps": 20}, "betas": [0.8, 0.9],
        "nodes": {"*.bias": {"lr": 0.01}},
    },
    "epochs": 2,
    "batch_size": 20,
    "folds": 2,
    "metrics": ["accuracy"],
    "compile": False,
}  # fmt: skip


def write(folder, **changes):
    path = folder / "spec.json"
    spec = {name: value for name, value in (SPEC | changes).items() if value is not None}
    path.write_text(json.dumps(spec))
    return path


def run(folder, **changes):
    return sweep_file(write(folder, **changes), progress=False)


def test_a_file_gives_what_python_gives(tmp_path):
    result = run(tmp_path)

    def build(setting):
        spec = copy.deepcopy(SPEC["network"])
        spec["operators"]["fc1"]["out_features"] = setting["width"]
        spec["operators"]["middle"] = setting["activation"]
        return Network.from_dict({"format": "graphdl", "version": 1, **spec}, seed=setting["seed"])

    x, labels = disc(80, seed=3)
    expected = sweep(
        build, x, one_hot(labels, 2), over=SPEC["over"], epochs=2, batch_size=20, folds=2, metrics=("accuracy",),
        optimizer=lambda s: Adam(lr=Cosine(s["lr"], 20), betas=(0.8, 0.9), nodes={"*.bias": {"lr": 0.01}}),
        compile=False, progress=False,
    )  # fmt: skip
    assert len(result) == 16
    assert [dict(history) for history in result.histories] == [dict(history) for history in expected.histories]


def test_toml_and_other_entries(tmp_path):
    Network.from_dict({"format": "graphdl", "version": 1, **plain_network()}).save(tmp_path / "model.json")
    (tmp_path / "spec.toml").write_text("""
        data = "digits"
        network = "model.json"
        optimizer = { type = "SGD", lr = { "$" = "lr" } }
        epochs = 3
        batch_size = 500
        validation = "digits"
        halving = { factor = 2, first = 1 }
        early_stopping = { monitor = "validation_loss", patience = 1 }
        by = "loss"

        [over]
        random = 4
        seed = 7
        choices = { lr = { loguniform = [1e-3, 1.0] }, seed = [0, 1] }
    """)
    result = sweep_file(tmp_path / "spec.toml", progress=False)
    rates = [row["lr"] for row in result.table]
    assert len(set(rates)) == 4
    assert all(1e-3 <= lr <= 1 for lr in rates)
    assert {row["state"] for row in result.table} >= {"dropped"}
    assert result.figure.name == "loss"
    assert [member.optimizer for member in result._members] == [SGD(lr=lr) for lr in rates]


def plain_network():
    operators = {"fc": {"type": "Linear", "out_features": 10}, "loss": {"type": "CrossEntropyLoss"}}
    return {"operators": operators, "connectivity": {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}}


LINEAR = {"network": plain_network(), "over": {"lr": [0.1]}, "optimizer": {"type": "SGD", "lr": {"$": "lr"}}}


@pytest.mark.parametrize(("text", "target", "loss"), [
    ("a,b,label\n1,2,yes\n3,4,no\n5,6,yes\n", None, "CrossEntropyLoss"),
    ("a\tb, in m, or so\tlabel\n1\t2\tyes\n3\t4\tno\n5\t6\tyes\n", None, "CrossEntropyLoss"),
    ("label,a,b\n1,1,2\n0,3,4\n1,5,6\n\n", "label", "CrossEntropyLoss"),
    ("a,b,y\n1,2,0.5\n3,4,1\n5,6,2.5\n", "y", "MSELoss"),
])  # fmt: skip
def test_tables(text, target, loss, tmp_path):
    name = "table.TSV" if "\t" in text else "table.csv"
    (tmp_path / name).write_text(text)
    network = plain_network()
    network["operators"] = {
        "fc": {"type": "Linear", "out_features": 1 if loss == "MSELoss" else 2}, "loss": {"type": loss}
    }  # fmt: skip
    data = name if target is None else {"file": name, "target": target}
    result = run(tmp_path, **LINEAR | {"network": network}, data=data, folds=None, metrics=None)
    given = result._members[0]
    held = {"MSELoss": [[0.5], [1.0], [2.5]], "CrossEntropyLoss": [1, 0, 1]}[loss]
    net = Network.from_dict({"format": "graphdl", "version": 1, **network}, seed=0)
    found = sweep(
        lambda s: net, {"x": torch.tensor([[1.0, 2], [3, 4], [5, 6]]), "target": torch.tensor(held)},
        over=[{}], optimizer=given.optimizer, epochs=2, batch_size=20, compile=False, progress=False,
    )  # fmt: skip
    assert dict(found.histories[0]) == dict(result.histories[0])


def test_arrays(tmp_path):
    x, labels = disc(30, seed=0)
    numpy.savez(tmp_path / "arrays.npz", x=x.double().numpy(), target=labels.numpy())
    result = run(tmp_path, **LINEAR, data="arrays.npz", folds=None)
    assert result.table[0]["state"] == "finished"


@pytest.mark.parametrize(("changes", "message"), [
    ({"epoch": 3}, "unknown entry 'epoch'. Did you mean 'epochs'"),
    ({"optimizer": None}, "has no 'optimizer': a sweep needs"),
    ({"data": "dics"}, "Did you mean 'disc'"),
    ({"data": {"name": "dics"}}, "there is no data set 'dics'. Did you mean 'disc'"),
    ({"data": {"name": "disc", "row": 3}}, "Did you mean 'rows'"),
    ({"data": {"name": "disc", "rows": -3}}, "data: rows is -3"),
    ({"data": 3}, "data must be"),
    ({"data": "none.csv"}, "none.csv cannot be read"),
    ({"data": "bad.csv"}, "bad.csv, line 3: 1 values"),
    ({"data": {"file": "text.csv"}}, "text.csv, line 2, column 'a': 'x' is not a finite number"),
    ({"data": {"file": "text.csv", "target": "c"}}, "no column 'c'"),
    ({"data": {"name": "disc", "rows": "500"}}, "data: rows is '500'"),
    ({"data": "gap.csv"}, "gap.csv, line 4, column 'a': '' is not a finite number"),
    ({"data": "nan.csv"}, "nan.csv, line 2, column 'a': 'nan' is not a finite number"),
    ({"data": "target.csv"}, "target.csv, line 3, column 'b': 'inf' is not a finite number"),
    ({"data": "missing.csv"}, "missing.csv, line 3, column 'b': the target is missing"),
    ({"data": "twice.csv"}, "the header has 'a' more than once"),
    ({"data": "bare.csv"}, "has numbers in its first line"),
    ({"data": {"file": "folds.csv", "one_hot": True}}, "the class 1 has 1 row, but folds=2 needs 2"),
    ({"optimizer": {"type": "Adam", "nodes": ["fc1"]}}, "optimizer, nodes must be a dictionary such as"),
    ({"optimizer": {"type": "Adam", "nodes": {"fc1": 3}}}, "optimizer, nodes, fc1 must be a dictionary"),
    ({"optimizer": {"type": "Adam", "lr": {"$": ["lr"]}}}, r"with the name of a setting"),
    ({"over": {"random": 3, "choices": {"lr": {"loguniform": [0, 0.1]}}}}, r"loguniform needs 0 < low < high"),
    ({"penalties": {"type": "L2"}}, "penalties must be a list"),
    ({"penalties": [{"type": "L3"}]}, r"penalties\[0\] must be .*not .L3"),
    ({"penalties": [{"type": "L2", "strenght": 1}]}, r"penalties\[0\]: L2 has no setting 'strenght'. Did you mean"),
    ({"penalties": ["L2"]}, r'penalties\[0\] is "L2": write \{"type": "L2"\}'),
    ({"compile": "false"}, "compile must be True or False, not 'false'"),
    ({"shuffle": 1}, "shuffle must be True or False"),
    ({"data": "empty.csv"}, "needs a header"),
    ({"network": {"operator": {}}}, "Did you mean 'operators'"),
    ({"network": "none.json"}, "none.json cannot be read"),
    ({"over": {"width": [3], "activation": [{"type": "Tahn"}], "lr": [1]}}, "Did you mean 'Tanh'"),
    ({"over": {"width": [0], "activation": [{"type": "Tanh"}], "lr": [1]}}, "out_features must be"),
    ({"over": {"activation": [{"type": "Tanh"}], "lr": [1]}}, "the setting has no 'width'"),
    ({"over": {"random": 3}}, '"choices" must be'),
    ({"over": {"random": 3, "choice": {}}}, "Did you mean 'choices'"),
    ({"over": {"random": 3, "choices": {"lr": {"loguniform": 3}}}}, "must be like"),
    ({"over": {"random": 3, "choices": {"lr": {"loguni": [1, 2]}}}}, "Did you mean 'loguniform'"),
    ({"optimizer": {"type": "Adm"}}, "Did you mean 'Adam'"),
    ({"optimizer": {"type": "Adam", "lrr": 3}}, "Did you mean 'lr'"),
    ({"optimizer": {"type": "Adam", "lr": {"$": "lrr"}}}, "the setting has no 'lrr'. Did you mean 'lr'"),
    ({"optimizer": {"type": "Adam", "lr": {"$": "lr", "a": 1}}}, "without other entries"),
    ({"optimizer": "Adam"}, r'optimizer is "Adam": write \{"type": "Adam"\}'),
    ({"early_stopping": {"patiense": 3}}, "Did you mean 'patience'"),
    ({"halving": {"factor": 1}}, "factor must be"),
    ({"halving": 3}, "halving must be a dictionary"),
    ({"epochs": "many"}, "epochs is 'many'"),
])  # fmt: skip
def test_mistakes(changes, message, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "text.csv").write_text("a,b\nx,2\n3,4\n")
    (tmp_path / "empty.csv").write_text("a,b\n")
    (tmp_path / "gap.csv").write_text("a,b\n1,2\n\n,4\n")
    (tmp_path / "nan.csv").write_text("a,b\nnan,2\n")
    (tmp_path / "target.csv").write_text("a,b\n1,2\n1,inf\n")
    (tmp_path / "missing.csv").write_text("a,b\n1,2\n1,\n")
    (tmp_path / "twice.csv").write_text("a,a,b\n1,2,3\n")
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    (tmp_path / "folds.csv").write_text("a,b\n1,0\n2,0\n3,1\n")
    with pytest.raises(GraphDLError, match=message):
        run(tmp_path, **changes)


@pytest.mark.parametrize(("name", "text", "message"), [
    ("spec.json", "{", "not a JSON file"),
    ("spec.toml", "=", "not a TOML file"),
    ("spec.json", "3", "a sweep is a dictionary"),
])  # fmt: skip
def test_other_files(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(GraphDLError, match=message):
        sweep_file(tmp_path / name)
    with pytest.raises(GraphDLError, match="cannot be read"):
        sweep_file(tmp_path / f"none.{name}")


def test_the_command_line(tmp_path):
    done = invoke("sweep", write(tmp_path), "--out", tmp_path / "out", "--epochs", 1)
    assert done.exit_code == 0, done.output
    assert "16 members, by validation accuracy:" in done.output
    assert "width 3, activation ReLU, lr 0.1" in done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "sweep.csv", "sweep.json", "sweep.png", "best.json", "best.safetensors"
    }  # fmt: skip
    with (tmp_path / "out" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert rows[0]["activation"] == "ReLU"
    best = Network.load(tmp_path / "out" / "best.json")
    best.load_state_dict(load_file(tmp_path / "out" / "best.safetensors"))
    assert best.predict({"x": torch.zeros(3, 2)}).shape == (3, 2)


def test_penalties(tmp_path):
    stored = [
        {"type": "L2", "strength": {"$": "strength"}, "nodes": ["fc1", "*.bias"]},
        {"type": "L1", "strength": 0.1},
    ]
    over = {"width": [3], "activation": [{"type": "ReLU"}], "lr": [0.1], "strength": [0.01, 0.1]}
    result = run(tmp_path, penalties=stored, over=over, folds=None)
    penalties = [member.penalties for member in result._members]
    assert penalties == [(L2(strength, nodes=("fc1", "*.bias")), L1(0.1)) for strength in (0.01, 0.1)]
    assert {"l1", "l2"} <= set(result.histories[0])
