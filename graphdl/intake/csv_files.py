"""CSV files with a header."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from graphdl.errors import FileFormatError, listing

SEPARATORS = "\t;,"
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+(\.\d+)?\s*", re.ASCII)


def is_csv(path: Path) -> bool:
    """Whether a file is a CSV file by its suffix."""
    return path.suffix.lower() in (".csv", ".tsv")


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class TextColumn:
    """A column of a CSV file: the texts, by the number of the line, and what separates the columns of the file."""

    path: Path
    name: str
    separator: str
    texts: Mapping[int, str]

    def numeric(self) -> bool:
        """Whether all texts are numbers or empty.

        Raises FileFormatError for numbers with commas, which are not classes. In a file that is separated by commas
        they are texts.
        """
        held = {number: text for number, text in self.texts.items() if text.strip() and not is_number(text)}
        thousands = all(map(THOUSANDS.fullmatch, held.values()))
        commas = self.separator != "," and all(
            DECIMAL_COMMA.fullmatch(text) or THOUSANDS.fullmatch(text) for text in held.values()
        )
        if held and commas:
            number, text = next(iter(held.items()))
            raise FileFormatError(
                f"{self.path}, line {number}, column {self.name!r}: {text!r} has a comma: write numbers with a decimal "
                f"point and without other marks, as pandas.read_csv(path, sep={self.separator!r}, decimal=',')"
                f".to_csv(path, sep={self.separator!r}, index=False) does"
                + (", or the same with thousands=',' if the comma divides thousands." if thousands else ".")
            )
        return not held

    def numbers(self) -> list[float]:
        """The numbers. Raises FileFormatError for a value that is not a finite number."""
        self.numeric()
        for number, text in self.texts.items():
            if not is_number(text) or not math.isfinite(float(text)):
                raise FileFormatError(
                    f"{self.path}, line {number}, column {self.name!r}: {text!r} is not a finite number."
                )
        return [float(text) for text in self.texts.values()]


def read_csv(path: Path) -> dict[str, TextColumn]:
    """The columns of a CSV file with a header. Raises FileFormatError.

    The separator of a .tsv file is a tab. That of other files is a tab, a semicolon or a comma: the one that divides
    the header into most columns, and the line below it into as many if there is one that does so.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = "\t" if path.suffix.lower() == ".tsv" else max(SEPARATORS, key=lambda each: _fit(file, each))
            file.seek(0)
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
    return {
        name: TextColumn(path, name, separator, {number: row[k] for number, row in lines.items()})
        for k, name in enumerate(header)
    }


def _fit(file: TextIO, separator: str) -> tuple[bool, int]:
    """Whether a separator gives the header several columns and the next row as many; and how many it gives."""
    file.seek(0)
    try:
        header, *below = islice(filter(None, csv.reader(file, delimiter=separator)), 2)
    except (ValueError, csv.Error):  # an empty file; a line that is too long for one value
        return False, 0
    return len(header) > 1 and all(len(row) == len(header) for row in below), len(header)


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Raise FileFormatError for names that are repeated, and for a first line of numbers."""
    if repeated := [name for name, times in Counter(header).items() if times > 1]:
        raise FileFormatError(f"{path}: the header has {listing(map(repr, repeated))} more than once: rename columns.")
    if header and all(is_number(name) for name in header):
        raise FileFormatError(
            f"{path} has numbers in its first line, which must hold the names of the columns: add a header."
        )
