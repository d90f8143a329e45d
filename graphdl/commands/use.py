"""graphdl evaluate and graphdl predict."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy
import typer

from graphdl.commands import saved
from graphdl.commands.answers import arrays_of, columns_of, predictions_of
from graphdl.commands.columns import parquet_library, read_table
from graphdl.commands.encoding import choose_encoding
from graphdl.commands.output import AsJSON, json_line, tell_figures, tell_json, tell_written
from graphdl.commands.roles import check_trains, needed_inputs
from graphdl.errors import SettingError
from graphdl.files import replacing, write_bytes
from graphdl.training import evaluate as measure

SUFFIXES = (".csv", ".json", ".npz", ".parquet")


def evaluate(
    model: saved.Trained,
    data: saved.Data,
    target: saved.Targets = None,
    input: saved.Inputs = None,  # noqa: A002  # the name of the option
    metric: saved.Metrics = None,
    weights: saved.Weights = None,
    as_json: AsJSON = False,
) -> None:
    """Print the loss and the metrics of a trained network on a table: graphdl evaluate run data.csv."""
    held = saved.open_saved(model, weights)
    check_trains(held.net)
    table = read_table(data)
    encoding = held.chosen(table, input or [], target or [])
    named = encoding.data(held.net, table)
    net = held.build(encoding.features(held.net, table))
    tell_figures(measure(net, named, metrics=encoding.metrics(metric)), as_json, rows=table.rows)


def predict(
    model: saved.Trained,
    data: saved.Data,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .csv, .json, .npz or .parquet file; by default CSV on stdout."),
    ] = None,
    input: saved.Inputs = None,  # noqa: A002  # the name of the option
    values: Annotated[
        bool, typer.Option("--values", help="Also the numbers from which a class was chosen, a column for each.")
    ] = False,
    weights: saved.Weights = None,
    as_json: AsJSON = False,
) -> None:
    """Predict the rows of a table: graphdl predict run data.csv -o predictions.csv.

    The columns are those of the training, in whatever order the file has them; others are not used. Classes get the
    labels that the training has stored.
    """
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise SettingError(f"--output {output}: the suffix must be .csv, .json, .npz or .parquet.")
    held = saved.open_saved(model, weights)
    table = read_table(data)
    net, encoding = held.net, held.encoding
    if encoding is None:
        encoding = choose_encoding(net, table, input or [], [], predicting=True)
    features = encoding.features(net, table, needed_inputs(net, predicting=True).features)
    predicted = predictions_of(held.build(features), features)
    if output is not None and output.suffix.lower() == ".npz":
        columns = arrays_of(net, encoding, predicted, values)
    else:
        columns = columns_of(net, encoding, predicted, values)
    if output is not None:
        path = _write(output, columns)
        tell_json({"rows": table.rows, "written": [path]}) if as_json else tell_written([path])
    elif as_json:
        tell_json({"rows": table.rows, "predictions": columns})
    else:
        typer.echo(_as_csv(columns), nl=False)


def _write(path: Path, columns: Mapping[str, Any]) -> Path:
    """Write columns into a file."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_bytes(path, _as_csv(columns).encode())
    elif suffix == ".json":
        write_bytes(path, (json_line(columns) + "\n").encode())
    elif suffix == ".npz":
        write_bytes(path, _as_npz(columns))
    else:
        pandas = parquet_library("Writing a parquet file")
        with replacing(path) as unfinished:
            pandas.DataFrame(columns).to_parquet(unfinished)
    return path


def _as_npz(columns: Mapping[str, Any]) -> bytes:
    """The same as numpy.savez, which takes no array called "file" or "allow_pickle"."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, column in columns.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.asarray(column), allow_pickle=False)
    return file.getvalue()


def _as_csv(columns: Mapping[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()
