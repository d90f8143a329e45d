"""Targets of several columns on the command line."""

import json

import pytest
import torch

from graphdl import BCEWithLogitsLoss, Linear, MSELoss, Network, SoftMarginLoss
from graphdl.errors import FileFormatError, SettingError
from tests.commands.conftest import LABELS, POINTS, write_csv

A, B = POINTS.T.tolist()
CHAIN = {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}


def saved(folder, loss, outputs=2):
    return Network({"fc": Linear(out_features=outputs), "loss": loss}, CHAIN, seed=0).save(folder / "model.json")


def table(folder, low=0):
    labels = [[int(value) if value else low for value in column] for column in (LABELS, 1 - LABELS)]
    return write_csv(folder / "data.csv", {"a": A, "b": B, "p": labels[0], "q": labels[1]})


@pytest.mark.parametrize("loss", [MSELoss(), BCEWithLogitsLoss()])
@pytest.mark.parametrize(
    "given", [("-t", "p", "-t", "q"), ("-t", "p,q"), ("-t", "y=p", "-t", "q"), ("-t", "p,q", "-t", "q")]
)
def test_columns_of_a_target_never_become_inputs(run, tmp_path, loss, given):
    run("train", saved(tmp_path, loss), table(tmp_path), *given, "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    encoding = json.loads((tmp_path / "run" / "train.json").read_text())["encoding"]
    assert encoding["inputs"] == {"x": ["a", "b"]}
    assert encoding["targets"]["y"]["columns"] == ["p", "q"]


def test_an_input_takes_the_columns_of_several_options(run, tmp_path):
    given = ("-t", "p,q", "-i", "b", "-i", "x=a", "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    run("train", saved(tmp_path, MSELoss()), table(tmp_path), *given)
    assert json.loads((tmp_path / "run" / "train.json").read_text())["encoding"]["inputs"] == {"x": ["b", "a"]}


@pytest.mark.parametrize(("loss", "low"), [(BCEWithLogitsLoss(), 0), (SoftMarginLoss(), -1)])
def test_several_labels_are_predicted_as_labels(run, tmp_path, loss, low):
    data, out = table(tmp_path, low), tmp_path / "run"
    run("train", saved(tmp_path, loss), data, "-t", "p,q", "--epochs", 60, "--lr", 0.1, "--quiet", "--out", out)
    predicted = json.loads(run("predict", out, data, "--values", "--json"))["predictions"]
    assert list(predicted) == ["p", "q", "p_value", "q_value"]
    for name in ("p", "q"):
        assert set(predicted[name]) == {str(low), "1"}
        assert predicted[name] == ["1" if value > 0 else str(low) for value in predicted[f"{name}_value"]]
    assert json.loads(run("evaluate", out, data, "--json"))["figures"]["accuracy"] > 0.9


def test_shares_are_predicted_as_numbers(run, tmp_path):
    data = write_csv(tmp_path / "data.csv", {"a": A, "p": torch.rand(120).tolist(), "q": LABELS.tolist()})
    given = ("-t", "p,q", "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    run("train", saved(tmp_path, BCEWithLogitsLoss()), data, *given)
    assert all(
        isinstance(value, float)
        for value in json.loads(run("predict", tmp_path / "run", data, "--json"))["predictions"]["q"]
    )


def test_a_text_among_numbers_of_a_regression_is_reported_by_its_line(run, tmp_path):
    data = write_csv(tmp_path / "data.csv", {"a": A, "price": ["dear", *B[1:]]})
    with pytest.raises(FileFormatError, match="line 2, column 'price': 'dear' is not a"):
        run("train", saved(tmp_path, MSELoss(), 1), data, "-t", "price", "--out", tmp_path / "run")


def test_metrics_are_not_joined_by_commas(run, tmp_path):
    with pytest.raises(SettingError, match="--metric accuracy,f1: repeat the option: -m accuracy -m f1"):
        run(
            "train",
            saved(tmp_path, MSELoss()),
            table(tmp_path),
            "-t",
            "p,q",
            "-m",
            "accuracy,f1",
            "--out",
            tmp_path / "run",
        )
