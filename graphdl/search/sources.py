"""The data sets that a file may name: those of graphdl.data, tables in CSV files, and arrays in .npz files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from graphdl.data import digits, disc, line, one_hot, spiral
from graphdl.data.checks import whole_number
from graphdl.errors import FileFormatError, GraphDLError, did_you_mean, listing
from graphdl.intake.csv_files import TextColumn, is_csv, read_csv

POINTS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {"disc": disc, "line": line, "spiral": spiral}
NAMES = (*POINTS, "digits")
COUNTS = (("rows", 1000, 1), ("seed", 0, 0))
"""The whole numbers of a data set of points: their names, defaults and least values."""


def load_data(where: str, given: Any, folder: Path) -> tuple[Any, Any]:
    """Inputs and targets of a data set: its name or file, or a dictionary.

    "disc"                                        1000 points
    {"name": "disc", "rows": 400, "seed": 1}      disc, line, spiral; "digits" has neither rows nor seed
    {"file": "points.csv", "target": "label"}     a table with a header; the target is the last column by default
    {"file": "points.npz"}                        arrays by the names of the network's inputs

    "one_hot": true turns class indices into one-hot rows. Classes of a table may be strings. Raises FileFormatError.
    """
    if isinstance(given, str):
        given = {"name": given} if given in NAMES else {"file": given}
    known = ("name", "file", "rows", "seed", "target", "one_hot")
    if not isinstance(given, Mapping) or ("name" in given) == ("file" in given):
        raise FileFormatError(f'{where} must be {listing(map(repr, NAMES))}, the name of a .csv, .tsv or .npz file, or '
                              f'a dictionary with "name" or "file", not {given!r:.100}.')  # fmt: skip
    for name in given:
        if name not in known:
            raise FileFormatError(f"{where} has an unknown entry {name!r}.{did_you_mean(name, known)}")
    inputs, targets = _points(where, given) if "name" in given else _file(where, given, folder)
    if given.get("one_hot"):
        if not isinstance(targets, Tensor) or targets.is_floating_point():
            raise FileFormatError(f"{where}: one_hot needs targets that are classes.")
        targets = one_hot(targets, int(targets.max()) + 1)
    return inputs, targets


def _points(where: str, given: Mapping[str, Any]) -> tuple[Any, Any]:
    name = given["name"]
    if name == "digits":
        return digits()
    if name not in POINTS:
        hint = did_you_mean(name, NAMES)
        raise FileFormatError(f"{where}: there is no data set {name!r}.{hint} The data sets are {listing(NAMES)}.")
    try:
        rows, seed = (whole_number(each, given.get(each, default), least) for each, default, least in COUNTS)
        return POINTS[name](rows, seed=seed)
    except GraphDLError as error:
        raise FileFormatError(f"{where}: {error}") from error


def _file(where: str, given: Mapping[str, Any], folder: Path) -> tuple[Any, Any]:
    path = folder / str(given["file"])
    if not is_csv(path) and path.suffix.lower() != ".npz":
        hint = did_you_mean(given["file"], NAMES)
        raise FileFormatError(f"{where}: {path.name!r} is neither a .csv, .tsv or .npz file nor a data set.{hint}")
    try:
        return _table(path, given.get("target")) if is_csv(path) else (_arrays(path), None)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from None


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with numpy.load(path, allow_pickle=False) as file:
            return dict(file)
    except ValueError as error:
        raise FileFormatError(f"{path} does not hold arrays of numbers: {error}.") from None


def _table(path: Path, target: Any) -> tuple[Tensor, Tensor]:
    """Columns of numbers (n, i), and the target: classes (n,), or numbers (n, 1)."""
    columns = read_csv(path)
    header = list(columns)
    target = header[-1] if target is None and header else target
    if target not in columns:
        raise FileFormatError(
            f"{path} has no column {target!r}.{did_you_mean(target, header)} It has {listing(header)}."
        )
    wanted = columns.pop(target)
    if not wanted.texts or not columns:
        raise FileFormatError(f"{path} needs a header with two columns or more, and at least one row below it.")
    inputs = [column.numbers() for column in columns.values()]
    return torch.tensor(inputs, dtype=torch.float32).T.contiguous(), _target(wanted)


def _target(column: TextColumn) -> Tensor:
    """Classes (n,) if all are whole numbers or some are not numbers; else numbers (n, 1)."""
    for number, text in column.texts.items():
        if not text.strip():
            raise FileFormatError(f"{column.path}, line {number}, column {column.name!r}: the target is missing.")
    if not column.numeric():
        classes = sorted(set(column.texts.values()))
        return torch.tensor([classes.index(text) for text in column.texts.values()])
    values = column.numbers()
    if all(value.is_integer() and value >= 0 for value in values):
        return torch.tensor([int(value) for value in values])
    return torch.tensor(values, dtype=torch.float32)[:, None]
