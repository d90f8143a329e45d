"""What a table is read as: labels, numbers, columns without a name; and the files that predictions are written into."""

import json

import numpy
import pytest
import torch

from graphdl import Linear, MSELoss, Network
from graphdl.commands.columns import Table, read_table
from graphdl.errors import FileFormatError
from tests.commands.conftest import KINDS, POINTS, write_csv


def labels(values, dtype=object):
    return Table("t.csv", {"c": numpy.array(values, dtype)}).labels("c")


def test_labels_that_differ_stay_different():
    given = ["01", "1", "02", "1e0", "+1", "1_0", "1.5", "in"]
    assert labels(given) == given
    assert labels([" 1.0", "1", "-2.00", "-0.0", "10.0", "00.0"]) == ["1", "1", "-2", "0", "10", "00.0"]
    assert labels([1.0, 2.5, -0.0], float) == ["1", "2.5", "0"]
    assert labels([1, 2], int) == ["1", "2"]
    assert labels([True, False], bool) == ["True", "False"]


@pytest.mark.parametrize("text", ["", " ", "nan", "NaN", "NA", "null", "NULL"])
def test_labels_that_are_missing_are_refused_by_their_line(run, entropy, tmp_path, text):
    data = write_csv(tmp_path / "data.csv", {"a": [1, 2, 3], "kind": ["in", "out", text], "b": [1, 2, 3]})
    with pytest.raises(FileFormatError, match=r"line 4, column 'kind': the target is missing"):
        run("train", entropy, data, "-t", "kind", "--out", tmp_path / "run")


def test_labels_with_zeros_in_front_come_back_as_they_were(run, entropy, tmp_path):
    columns = {
        "a": POINTS[:, 0].tolist(),
        "b": POINTS[:, 1].tolist(),
        "kind": [{"in": "02", "out": "2"}[k] for k in KINDS],
    }
    data = write_csv(tmp_path / "data.csv", columns)
    run("train", entropy, data, "-t", "kind", "--lr", 0.02, "--epochs", 40, "--quiet", "--out", tmp_path / "run")
    assert {*json.loads(run("predict", tmp_path / "run", data, "--json"))["predictions"]["kind"]} == {"02", "2"}


def test_a_column_without_a_name_is_no_feature(run, entropy, tmp_path):
    data = write_csv(tmp_path / "data.csv", {"": range(120), "a": POINTS[:, 0].tolist(), "kind": KINDS})
    given = ("train", entropy, data, "-t", "kind", "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    with pytest.raises(FileFormatError, match=r"has a column without a name, .* write the file with index=False"):
        run(*given)
    run(*given, "--input", ",a")


def line():
    net = Network({"fc": Linear(1, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    net.parameters["fc.weight"].fill_(1.0)
    return net


@pytest.mark.parametrize("column", ["x", "y"])
def test_numbers_that_float32_does_not_hold_are_refused(run, tmp_path, column):
    data = write_csv(tmp_path / "data.csv", {"x": [1.0, 2.0], "y": [1.0, 2.0], column: [1.0, 1e300]})
    with pytest.raises(FileFormatError, match=rf"line 3, column '{column}': 1e\+300 is too large"):
        run("train", line().save(tmp_path / "line.json"), data, "--out", tmp_path / "run")


def test_predictions_that_are_not_finite_are_null_in_json(run, tmp_path):
    data = write_csv(tmp_path / "data.csv", {"x": [1.0, 3e38]})
    net = line()
    net.parameters["fc.weight"].fill_(10.0)
    run("predict", net.save(tmp_path / "line.graphdl"), data, "-o", tmp_path / "p.json")
    found = json.loads((tmp_path / "p.json").read_text(), parse_constant=pytest.fail)
    assert found["fc"][1] is None
    assert found["fc"][0] is not None


@pytest.mark.parametrize("name", ["file", "allow_pickle", "y"])
def test_arrays_of_any_name_are_written(run, tmp_path, name):
    data = write_csv(tmp_path / "data.csv", {"x": [1.0, 2.0], name: [1.0, 2.0]})
    model = line().save(tmp_path / "line.json")
    run("train", model, data, "-t", name, "-i", "x", "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    run("predict", tmp_path / "run", data, "-o", tmp_path / "p.npz")
    with numpy.load(tmp_path / "p.npz", allow_pickle=False) as found:
        assert found.files == [name]
        assert found[name].shape == (2,)


def test_the_target_in_a_table_is_not_a_feature_of_predictions(run, tmp_path):
    net = line()
    model = net.save(tmp_path / "line.graphdl")
    data = write_csv(tmp_path / "data.csv", {"a": [1.0, 2.0], "y": [5.0, 6.0]})
    found = json.loads(run("predict", model, data, "--json"))["predictions"]["fc"]
    assert found == pytest.approx(net.predict(torch.tensor([[1.0], [2.0]])).flatten().tolist())


@pytest.mark.parametrize(("separator", "suffix"), [(";", "csv"), ("\t", "csv"), ("\t", "tsv")])
def test_the_separator_is_that_of_the_header(separator, suffix, tmp_path):
    path = tmp_path / f"data.{suffix}"
    path.write_text(separator.join(["\ufeffa", '"b, in m"', "y"]) + "\n" + separator.join(["1", "2.5", "x,y"]) + "\n")
    columns = read_table(path).columns
    assert {name: held.tolist() for name, held in columns.items()} == {"a": ["1"], "b, in m": ["2.5"], "y": ["x,y"]}


@pytest.mark.parametrize(("name", "text", "columns"), [
    ("a.tsv", "name\tprice, EUR, net\na\t1\n", ["name", "price, EUR, net"]),
    ("a.TSV", "x, in cm\ty\n1\t2\n", ["x, in cm", "y"]),
    ("a.csv", "x, in cm;y\n1;2\n", ["x, in cm", "y"]),
    ("a.csv", "x, in cm, wide;y\n\n15;2,5\n", ["x, in cm, wide", "y"]),
    ("a.csv", "a;b,c\nx;,2\n", ["a", "b,c"]),
    ("a.csv", "a,b\n" + "1" * 100_000 + "," + "1" * 100_000 + "\n", ["a", "b"]),
    ("a.csv", "x\n1,5\n", ["x"]),
])  # fmt: skip
def test_the_separator_divides_the_first_row_as_the_header(name, text, columns, tmp_path):
    (tmp_path / name).write_text(text)
    assert [*read_table(tmp_path / name).columns] == columns


@pytest.mark.parametrize("read", [Table.numeric, Table.numbers])
@pytest.mark.parametrize(("texts", "separator", "says", "other"), [
    (["", "-0,5", "1"], ";", r"line 3, column 'y': '-0,5' has a comma: write .* sep=';', decimal=','", "thousands"),
    (["1,234", "5,67"], "\t", r"line 2, column 'y': '1,234' has .* sep='\\t', decimal=','", "thousands"),
    (["1,234", "-1,234,567.5"], ";", r"'1,234' has .* decimal=','.* or the same with thousands=','", "sep='\t'"),
])  # fmt: skip
def test_numbers_with_commas_are_no_classes(read, texts, separator, says, other, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("\n".join(separator.join(row) for row in [("a", "y"), *(("1", text) for text in texts)]))
    with pytest.raises(FileFormatError, match=says) as caught:
        read(read_table(path), "y")
    assert other not in str(caught.value)


def test_commas_are_no_error_in_labels_and_in_columns_that_are_not_read(run, entropy, tmp_path):
    (tmp_path / "data.csv").write_text("a;b;c;kind\n1;2;0,5;1,5\n2;3;1,5;2,5\n")
    run("train", entropy, tmp_path / "data.csv", "-i", "a,b", "-t", "kind", "--epochs", 1, "--out", tmp_path / "run")
    assert read_table(tmp_path / "data.csv").labels("kind") == ["1,5", "2,5"]
    (tmp_path / "commas.csv").write_text('a,pair\n1,"1,5"\n2,"2,5"\n')
    assert not read_table(tmp_path / "commas.csv").numeric("pair")
