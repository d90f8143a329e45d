"""The results of a sweep."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from graphdl.errors import SettingError, counted, listing
from graphdl.files import write_bytes
from graphdl.json_text import plain
from graphdl.network import Network
from graphdl.search.member import Member
from graphdl.search.picture import draw
from graphdl.search.ranking import Figure, choose_figure
from graphdl.search.space import Setting, described, text_of, without_seed
from graphdl.shown import visible
from graphdl.tables import Columns, html_table
from graphdl.training import History

Row = dict[str, Any]

COLUMNS = ("member", "fold", "epochs", "seconds", "state", "error", "way", "members", "failed")
"""Names of columns of the tables beside settings and figures."""

MOST_SHOWN = 20
"""The most settings that a notebook shows."""


class Sweep:
    """The results of training many networks: tables, the best setting, and the trained networks.

    table      a row for each member: its setting, fold, figures, epochs, seconds, state, error and way
    networks   the trained networks, in the order of the table
    histories  their histories
    figure     the figure by which settings are compared, and whether higher is better
    complete   False if Ctrl-C ended training: some members are then not trained, or not to the end

    If a callback has restored earlier parameters, the figures are those of their epoch.
    """

    def __init__(self, members: Sequence[Member], figure: Figure, complete: bool = True) -> None:
        self._members = tuple(members)
        self.figure, self.complete = figure, complete
        self.networks: tuple[Network, ...] = tuple(member.net for member in members)
        self.histories: tuple[History, ...] = tuple(member.history for member in members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        ended = sum(member.ended for member in self._members)
        best = f", best {visible(self.figure.name)} at {visible(described(self.best))}" if self.trained else ""
        return f"Sweep({ended} of {len(self)} members ended{best})"

    def _repr_html_(self) -> str:
        rows = self.ranking()[:MOST_SHOWN] if self.trained else self.summary[:MOST_SHOWN]
        names = dict.fromkeys(name for row in rows for name in row)
        columns: Columns = {name.replace("_", " "): "right" for name in names}
        cells = [[_shown(row[name]) if name in row else "" for name in names] for row in rows]
        return html_table(columns, cells, [repr(self)])

    @property
    def table(self) -> list[Row]:
        """A row for each member."""
        return [_row(member) for member in self._members]

    @property
    def summary(self) -> list[Row]:
        """A row for each setting, without its seed: means and standard deviations over seeds and folds.

        "accuracy_std" is the sample standard deviation of "accuracy", nan for a single member. Members that failed or
        were not trained are counted, and left out of the means.
        """
        return [_summary(members) for members in self._candidates()]

    def ranking(self, by: str | None = None, maximise: bool | None = None) -> list[Row]:
        """The summary, best first. Settings of which a member failed come after all others.

        by, maximise  another figure than that of the sweep. Raises SettingError for an unknown one.
        """
        figure = self.figure
        if by is not None or maximise is not None:
            names = list(dict.fromkeys(name for history in self.histories for name in history))
            figure = choose_figure(names, by or figure.name, maximise)
        return [row for row, _ in self._ranked(figure)]

    @property
    def trained(self) -> bool:
        """Whether a member was trained, so that there is a best setting."""
        return any(self.figure.of(row) is not None for row in self.summary)

    @property
    def best(self) -> Setting:
        """The best setting by the figure of the sweep, without its seed. Raises SettingError if none was trained."""
        return _named(self._best_members()[0])

    @property
    def best_network(self) -> Network:
        """The trained network of the best setting whose own figure is the best among its seeds and folds.

        Raises SettingError if no member was trained.
        """
        known = [(self.figure.of(member.figures), member) for member in self._best_members()]
        chosen = max if self.figure.maximise else min
        return chosen(((value, member) for value, member in known if value is not None), key=lambda each: each[0])[
            1
        ].net

    def _best_members(self) -> list[Member]:
        """The members of the best setting that were trained. Raises SettingError if there are none."""
        for row, members in self._ranked(self.figure):
            if self.figure.of(row) is not None:
                return _trained(members)
        raise self._nothing("there is no best setting")

    def _nothing(self, so: str) -> SettingError:
        """The error if no member has a value of the figure."""
        return SettingError(
            f"No member has been trained to a value of {self.figure.name!r}, so {so}: see the errors in .table."
        )

    def _candidates(self) -> list[list[Member]]:
        """The members of each setting."""
        candidates: dict[int, list[Member]] = {}
        for member in self._members:
            candidates.setdefault(member.candidate, []).append(member)
        return list(candidates.values())

    def _ranked(self, figure: Figure) -> list[tuple[Row, list[Member]]]:
        """The rows of the summary with their members, best first."""

        def order(each: tuple[Row, list[Member]]) -> tuple[bool, bool, float]:
            row, value = each[0], figure.of(each[0])
            if value is None:
                return True, True, 0.0
            return False, row["failed"] > 0, -value if figure.maximise else value

        return sorted(((_summary(members), members) for members in self._candidates()), key=order)

    def report(self, most: int = 10) -> str:
        """The best settings, a line each, and what was not trained to its end."""
        name, ranked = self.figure.name, self._ranked(self.figure)
        known = [(row, members) for row, members in ranked if self.figure.of(row) is not None]
        shown = visible(name).replace("_", " ")
        lines = [f"{counted(len(self), 'member')}, {f'by {shown}:' if known else f'none with a value of {shown}.'}"]
        for row, members in known[:most]:
            spread = f" ± {row[f'{name}_std']:.2g}" if len(members) > 1 else ""
            lines.append(f"{row[name]:10.4g}{spread}  {visible(described(_named(members[0]))) or 'all seeds'}")
        if len(known) > most:
            lines.append(f"and {counted(len(known) - most, 'more setting')}")
        counts = Counter(member.state for member in self._members)
        others = [f"{count} {state}" for state, count in counts.items() if state != "finished"]
        return "\n".join([*lines, *([listing(others) + "."] if others else [])])

    def to_csv(self, path: str | Path) -> Path:
        """Write the table into a CSV file; return its path."""
        rows = [{name: _cell(value) for name, value in row.items()} for row in self.table]
        names = list(dict.fromkeys(name for row in rows for name in row))

        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
        return _written(path, text.getvalue())

    def to_json(self, path: str | Path) -> Path:
        """Write table, summary, best setting and histories into a JSON file; return its path."""
        data = {
            "figure": self.figure.name, "maximise": self.figure.maximise, "complete": self.complete,
            "best": self.best if self.trained else None,
            "summary": self.summary, "table": self.table, "histories": [dict(history) for history in self.histories],
        }  # fmt: skip
        return _written(path, json.dumps(plain(data, text_of), indent=1, allow_nan=False) + "\n")

    @overload
    def plot(self, path: str | Path) -> Path: ...

    @overload
    def plot(self, path: None = None) -> Any: ...

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the figure of the sweep against the settings that vary.

        It is written into a .svg, .png or .pdf file; without a path the figure is returned. One numeric setting is
        drawn as a line, a grid of two or three as heat maps, others in parallel coordinates; if only seeds vary, the
        curves of training. Raises SettingError for another suffix and if no member was trained, MissingPackageError
        without matplotlib.
        """
        trained = [member for member in self._members if self.figure.of(member.figures) is not None]
        if not trained:
            raise self._nothing("there is nothing to draw")
        histories: dict[str, list[History]] = {}
        for member in trained:
            histories.setdefault(described(_named(member)), []).append(member.history)
        settings = [without_seed(member.setting) for member in trained]
        return draw(path, settings, [member.figures for member in trained], self.figure.name, histories)


def _row(member: Member) -> Row:
    fold = {} if member.fold is None else {"fold": member.fold}
    return {
        "member": member.number, **member.setting, **fold, **member.figures, "epochs": member.kept,
        "seconds": member.history.seconds, "state": member.state, "error": member.error,
        "way": "" if member.state == "waiting" else member.way,
    }  # fmt: skip


def _named(member: Member) -> Setting:
    """The setting of a member without its seed, or its number if there are no settings."""
    return without_seed(member.setting) if member.setting else {"member": member.number}


def _summary(members: Sequence[Member]) -> Row:
    """The row of a setting."""
    good = _trained(members)
    row: Row = {
        **_named(members[0]),
        "members": len(members),
        "failed": sum(member.state == "failed" for member in members),
    }
    for name in dict.fromkeys(name for member in good for name in member.figures):
        values = [member.figures[name] for member in good if name in member.figures]
        row[name], row[f"{name}_std"] = _mean_and_deviation(values)
    return row


def _trained(members: Sequence[Member]) -> list[Member]:
    """The members that count in a summary: those trained to the end, or else those that ended early."""
    return [member for member in members if member.state in ("finished", "stopped")] or [
        member for member in members if member.state in ("dropped", "interrupted")
    ]


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the sample standard deviation, which is nan for a single value and if one is not finite."""
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values), math.nan
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def _cell(value: Any) -> Any:
    """A value in a CSV file; nan and infinity as they are."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else text_of(value)


def _shown(value: Any) -> str:
    """A value in the table of a notebook."""
    return f"{value:.4g}" if isinstance(value, float) else str(_cell(value))


def _written(path: str | Path, text: str) -> Path:
    write_bytes(path, text.encode())
    return Path(path)
