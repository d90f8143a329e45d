"""The losses and metrics of training, by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from graphdl.errors import SettingError, counted, did_you_mean, listing
from graphdl.plots import plot_curves
from graphdl.shown import visible
from graphdl.tables import Columns, html_table

COLUMNS: Columns = {"": "left", "last": "right", "lowest": "right", "highest": "right"}


class History(Mapping[str, list[float]]):
    """Lists of losses and metrics by name, one value per epoch: history["loss"], history["validation_accuracy"].

    seconds  the duration of training
    message  how `minimize` ended

    >>> history = History()
    >>> history.append({"loss": 0.5}); history.append({"loss": 0.25})
    >>> history["loss"], history.epochs, history.last
    ([0.5, 0.25], 2, {'loss': 0.25})
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.message = ""

    def __getitem__(self, name: str) -> list[float]:
        if name not in self._lists:
            raise SettingError(
                f"The history has no {name!r}.{did_you_mean(name, self)} It has {listing(self) or 'no entries yet'}."
            )
        return self._lists[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lists

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def __repr__(self) -> str:
        figures = ", ".join(f"{visible(name)} {value:.4g}" for name, value in self.last.items())
        return f"History({self.epochs} epochs{', last: ' if figures else ''}{figures})"

    def _repr_html_(self) -> str:
        rows = [[name, *_in_words(values)] for name, values in self.items()]
        return html_table(COLUMNS, rows, [f"{counted(self.epochs, 'epoch')}, {self.seconds:.3g} s"])

    @property
    def epochs(self) -> int:
        """The number of epochs recorded."""
        return max(map(len, self._lists.values()), default=0)

    @property
    def last(self) -> dict[str, float]:
        """The values of the last epoch."""
        return {name: figures[-1] for name, figures in self._lists.items()}

    def append(self, figures: Mapping[str, float]) -> None:
        """Add the values of an epoch."""
        for name, figure in figures.items():
            self._lists.setdefault(name, []).append(figure)

    def restore(self, lists: Mapping[str, Sequence[float]], seconds: float) -> None:
        """Take the values of a stored history in place of its own."""
        self._lists, self.seconds = {name: list(figures) for name, figures in lists.items()}, seconds

    @overload
    def plot(self, path: str | Path) -> Path: ...

    @overload
    def plot(self, path: None = None) -> Any: ...

    def plot(self, path: str | Path | None = None) -> Any:
        """Plot the curves, training and validation in one panel: see plot_curves.

        It is written into a .svg, .png or .pdf file; without a path the figure is returned. Raises MissingPackageError
        without matplotlib, SettingError for an unsupported suffix.
        """
        return plot_curves(path, {"": [self]})


def _in_words(values: list[float]) -> list[str]:
    """The last value, and the lowest and the highest with their epochs."""
    numbers = [(value, epoch) for epoch, value in enumerate(values, 1) if not math.isnan(value)]
    ends = [min(numbers), max(numbers, key=lambda each: each[0])] if numbers else []
    found = [f"{value:.4g} (epoch {epoch})" for value, epoch in ends] or ["", ""]
    return [f"{values[-1]:.4g}", *found]
