"""Loggers that write a line for every epoch into a file: CSV, and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphdl.errors import FileFormatError
from graphdl.files import write_bytes
from graphdl.json_text import plain
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.settings import flag
from graphdl.training.history import History
from graphdl.training.logging.entry import EpochEntry, Logger


class FileLogger(Logger):
    """Writes epoch, updates, seconds, losses and metrics of every epoch into a file, at the end of the epoch.

    path    folders that are missing are created; a file that exists is replaced when training starts
    append  keeps what the file holds

    Where `fit` continues from a checkpoint, the file continues after the epoch of the checkpoint. Raises
    FileFormatError if the file cannot be written, or cannot be read where it continues.
    """

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        flag()(type(self).__name__, "append", append)
        self.path, self.append = Path(path).absolute(), append  # a callback may change the directory
        self._entries: list[EpochEntry] = []
        self._columns: dict[str, None] = {}

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Begin a new file, or continue."""
        super().on_fit_start(net, stepper, history)
        self._entries, self._columns = [], {}
        if (self.append or history.epochs) and self.path.exists():
            held = self._read()
            for entry in _up_to(held, history.epochs) if history.epochs else held:
                self._add(entry)
        self._write()

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Add the epoch."""
        head, entry = self._head(), self.entry(stepper, history)
        self._add(entry)
        if self._head() != head:
            return self._write()
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._line(entry))
        except OSError as error:
            raise FileFormatError(f"{self.path} cannot be written: {error.strerror or error}.") from None

    def _add(self, entry: EpochEntry) -> None:
        self._entries.append(entry)
        self._columns.update(dict.fromkeys(entry))

    def _write(self) -> None:
        """Write the whole file."""
        write_bytes(self.path, (self._head() + "".join(map(self._line, self._entries))).encode())

    def _read(self) -> list[EpochEntry]:
        try:
            text = self.path.read_text(encoding="utf-8")
            return self._parsed(text[: text.rfind("\n") + 1].splitlines())  # a line that was cut off is left out
        except OSError as error:
            raise FileFormatError(f"{self.path} cannot be read: {error.strerror or error}.") from None
        except (ValueError, KeyError, csv.Error) as error:
            raise FileFormatError(
                f"{self.path} is not a log of {type(self).__name__}, so it cannot be continued: {error}."
            ) from None

    @abstractmethod
    def _head(self) -> str:
        """The text before the first entry."""

    @abstractmethod
    def _line(self, entry: EpochEntry) -> str:
        """The line of an entry."""

    @abstractmethod
    def _parsed(self, lines: Sequence[str]) -> list[EpochEntry]:
        """The entries of a file."""


class CSVLogger(FileLogger):
    """Writes a CSV file with a row for every epoch: epoch, updates, seconds, and each loss and metric.

    path    folders that are missing are created; a file that exists is replaced when training starts
    append  keeps the rows that the file holds, and adds new ones below

    Where `fit` continues from a checkpoint, the rows up to its epoch are kept. Raises FileFormatError if the file
    cannot be written, or is not such a file where it is continued.
    """

    def _head(self) -> str:
        return _row([*self._columns]) if self._columns else ""

    def _line(self, entry: EpochEntry) -> str:
        return _row([entry.get(name, "") for name in self._columns])

    def _parsed(self, lines: Sequence[str]) -> list[EpochEntry]:
        header, *rows = list(csv.reader(lines, strict=True)) or [["epoch"]]
        entries: list[EpochEntry] = [dict(zip(header, row, strict=True)) for row in rows]
        if "epoch" not in header:
            raise ValueError('it has no column "epoch"')
        return [{**entry, "epoch": int(entry["epoch"])} for entry in entries]


class JSONLines(FileLogger):
    """Writes a file with a JSON object on a line for every epoch: epoch, updates, seconds, and each loss and metric.

    path    folders that are missing are created; a file that exists is replaced when training starts
    append  keeps the lines that the file holds, and adds new ones below

    Numbers that are infinite or not a number are null. Where `fit` continues from a checkpoint, the lines up to its
    epoch are kept. Raises FileFormatError if the file cannot be written, or is not such a file where it is continued.
    """

    def _head(self) -> str:
        return ""

    def _line(self, entry: EpochEntry) -> str:
        return json.dumps(plain(entry), allow_nan=False) + "\n"

    def _parsed(self, lines: Sequence[str]) -> list[EpochEntry]:
        entries = [json.loads(line) for line in lines]
        if not all(isinstance(entry, dict) and isinstance(entry.get("epoch"), int) for entry in entries):
            raise ValueError('a line is not an object with "epoch"')
        return entries


def _up_to(entries: Sequence[EpochEntry], epoch: int) -> list[EpochEntry]:
    """The entries without the last ones of later epochs, which will be made again."""
    last = max((k for k, entry in enumerate(entries, 1) if entry["epoch"] <= epoch), default=0)
    return list(entries[:last])


def _row(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
