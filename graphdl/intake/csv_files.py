"""CSV files with a header."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphdl.errors import FileFormatError, listing

SEPARATORS = ",;\t"
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def read_csv(path: Path) -> dict[str, dict[int, str]]:
    """The columns of a CSV file with a header: name -> {number of the line: text}. Raises FileFormatError.

    The separator is a comma, a semicolon or a tab: the one that divides the header into most columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(SEPARATORS, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))
            reader = csv.reader(file, delimiter=separator)
            header = next(reader, [])
            lines = {number: row for row, number in ((row, reader.line_num) for row in reader) if row}
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"{path} is not a CSV file: {error}.") from None
    _check_header(path, header)
    for number, row in lines.items():
        if len(row) != len(header):
            raise FileFormatError(
                f"{path}, line {number}: {len(row)} values, but the header has {len(header)} columns."
            )
    columns = {name: {number: row[k] for number, row in lines.items()} for k, name in enumerate(header)}
    for name, column in columns.items():
        _check_decimal_points(path, name, column)
    return columns


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Raise FileFormatError for names that are repeated, and for a first line of numbers."""
    if repeated := [name for name, times in Counter(header).items() if times > 1]:
        raise FileFormatError(f"{path}: the header has {listing(map(repr, repeated))} more than once: rename columns.")
    if header and all(is_number(name) for name in header):
        raise FileFormatError(
            f"{path} has numbers in its first line, which must hold the names of the columns: add a header."
        )


def _check_decimal_points(path: Path, name: str, column: Mapping[int, str]) -> None:
    """Raise FileFormatError for a column of numbers with decimal commas, which would be taken for classes."""
    commas = {number: text for number, text in column.items() if DECIMAL_COMMA.fullmatch(text)}
    if commas and all(number in commas or is_number(text) for number, text in column.items() if text.strip()):
        number, text = next(iter(commas.items()))
        raise FileFormatError(
            f"{path}, line {number}, column {name!r}: {text!r} has a comma: write numbers with a decimal "
            "point, as pandas.read_csv(path, sep=';', decimal=',').to_csv(path, index=False) does."
        )


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers_of(path: Path, name: str, column: Mapping[int, str]) -> list[float]:
    """The numbers of a column, given by line. Raises FileFormatError for a value that is not a finite number."""
    for number, text in column.items():
        if not is_number(text) or not math.isfinite(float(text)):
            raise FileFormatError(f"{path}, line {number}, column {name!r}: {text!r} is not a finite number.")
    return [float(text) for text in column.values()]
