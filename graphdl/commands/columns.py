"""Tables of named columns, from CSV, npz and parquet files."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy

from graphdl.errors import FileFormatError, did_you_mean, import_optional, listing
from graphdl.intake.csv_files import TextColumn, is_csv, is_number, read_csv

SUFFIXES = (".csv", ".tsv", ".npz", ".parquet")

WHOLE = re.compile(r"-?(0|[1-9]\d*)\.0+", re.ASCII)
"""Texts of whole numbers with a point, as a table of floats has them."""

MISSING = ("", "nan", "na", "null")
"""What stands in place of a label that is missing, in small letters."""


class Table:
    """Columns of one length: numbers (n, ...), or texts (n).

    texts  the columns of a CSV file, with the line of each row
    """

    def __init__(self, path: Path, columns: dict[str, Any], texts: Mapping[str, TextColumn] = MappingProxyType({})):
        self.path, self.columns, self.texts = path, columns, texts
        lengths = {len(column) for column in columns.values()}
        if not lengths or lengths == {0}:
            raise FileFormatError(f"{path} has no rows.")
        if len(lengths) > 1:
            sizes = (f"{name} has {len(column)}" for name, column in columns.items())
            raise FileFormatError(f"The arrays of {path} differ in their rows: {listing(sizes)}.")
        self.rows = lengths.pop()

    def column(self, name: str) -> Any:
        """A column by its name. Raises FileFormatError if there is none."""
        if name not in self.columns:
            raise FileFormatError(
                f"{self.path} has no column {name!r}.{did_you_mean(name, self.columns)} It has {listing(self.columns)}."
            )
        return self.columns[name]

    def numeric(self, name: str) -> bool:
        """Whether all values of a column are numbers; missing ones count as numbers, which `numbers` reports."""
        column = self.column(name)
        if name in self.texts:
            return self.texts[name].numeric()
        return column.dtype.kind in "biuf" or all(is_number(text) for text in column if text.strip())

    def numbers(self, name: str) -> Any:
        """A column of finite numbers (n, ...). Raises FileFormatError, with the line, if a value is not one."""
        column = self.column(name)
        if column.dtype.kind not in "biuf":
            if name in self.texts:
                return numpy.array(self.texts[name].numbers())
            bad = next((k for k, text in enumerate(column) if not is_number(text)), 0)
            raise FileFormatError(f"{self.path}, row {bad + 1}, column {name!r}: {column[bad]!r} is not a number.")
        if not numpy.isfinite(column).all():
            bad = int(numpy.argwhere(~numpy.isfinite(column))[0][0])
            raise FileFormatError(f"{self.path}, row {bad + 1}, column {name!r}: a value is missing or not finite.")
        return column

    def floats(self, name: str) -> Any:
        """The same as float32. Raises FileFormatError, with the line, for a number that is too large for it."""
        numbers = numpy.asarray(self.numbers(name))
        with numpy.errstate(over="ignore"):
            found = numbers.astype(numpy.float32)
        if not numpy.isfinite(found).all():
            bad = tuple(numpy.argwhere(~numpy.isfinite(found))[0])
            raise FileFormatError(
                f"{self.path}, {self._place(bad[0])}, column {name!r}: {numbers[bad]} is too large: numbers are stored "
                f"as float32, up to {numpy.finfo(numpy.float32).max:.3g}."
            )
        return found

    def _place(self, row: int) -> str:
        """Where a row stands in the file."""
        for column in self.texts.values():
            return f"line {[*column.texts][row]}"
        return f"row {row + 1}"

    def labels(self, name: str) -> list[str]:
        """A column of classes as texts, whole numbers without a point. Raises FileFormatError for a gap."""
        column = self.column(name)
        if column.ndim > 1:
            raise FileFormatError(f"{self.path}: {name!r} has the shape {column.shape}: classes are one number a row.")
        found = [_label(value) for value in column]
        for k, label in enumerate(found):
            if label.lower() in MISSING:
                raise FileFormatError(
                    f"{self.path}, {self._place(k)}, column {name!r}: the target is missing: {label!r}."
                )
        return found


def read_table(path: Path) -> Table:
    """Read a table from a file. Raises FileFormatError; for .parquet MissingPackageError without pandas."""
    suffix = path.suffix.lower()
    try:
        if is_csv(path):
            return _from_csv(path)
        if suffix == ".npz":
            return _from_npz(path)
        if suffix == ".parquet":
            return _from_parquet(path)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is not a {suffix} file of arrays: {error}.") from None
    raise FileFormatError(f"{path}: data are read from files with the suffixes {listing(SUFFIXES)}.")


def _from_csv(path: Path) -> Table:
    read = read_csv(path)
    columns = {name: numpy.array([*column.texts.values()], dtype=object) for name, column in read.items()}
    return Table(path, columns, read)


def _from_npz(path: Path) -> Table:
    with path.open("rb") as file:
        held = numpy.load(file, allow_pickle=False)
        if not isinstance(held, numpy.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        return Table(path, {name: _array(path, name, held[name]) for name in held})


def _from_parquet(path: Path) -> Table:
    pandas = parquet_library("Reading a parquet file")
    frame = pandas.read_parquet(path)
    columns = {str(name): _plain(frame[name], pandas.api.types) for name in frame.columns}
    return Table(path, {name: _array(path, name, column) for name, column in columns.items()})


def parquet_library(what: str) -> Any:
    """pandas, which reads and writes parquet files by pyarrow. Raises MissingPackageError without them."""
    import_optional("pyarrow", what, "pandas and pyarrow", "data")
    return import_optional("pandas", what, "pandas and pyarrow", "data")


def _plain(series: Any, kinds: Any) -> Any:
    """A column as numbers, or as texts in which a missing value is ""."""
    if kinds.is_bool_dtype(series) or kinds.is_numeric_dtype(series):
        return series.to_numpy(dtype=float, na_value=numpy.nan) if series.hasnans else series.to_numpy()
    return numpy.array(["" if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)])


def _array(path: Path, name: str, values: Any) -> Any:
    """An array of numbers or texts, with at least one axis."""
    array = numpy.asarray(values)
    if array.dtype.kind not in "biufU" or array.ndim == 0:
        raise FileFormatError(f"{path}: {name!r} is neither numbers nor texts in rows, but {array.dtype}.")
    return array.astype(object) if array.dtype.kind == "U" else array


def _label(value: Any) -> str:
    """A number or a text as a label: "1" for 1, 1.0 and "1.0"; "01" is another one."""
    if isinstance(value, (str, bool, numpy.bool_)):
        text = str(value).strip()
        return str(int(float(text))) if WHOLE.fullmatch(text) else text
    return str(int(value)) if float(value).is_integer() else str(value)
