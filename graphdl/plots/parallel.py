"""A sweep in parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from graphdl.errors import SettingError
from graphdl.plots.figures import finish, matplotlib, new_figure, plot, set_title
from graphdl.plots.heat_map import colours_of
from graphdl.plots.table import (
    Row,
    check_names,
    check_rows,
    finite_or_nan,
    is_number,
    logarithmic,
    plain,
    spaced_logarithmically,
    text,
)
from graphdl.plots.table import values as values_of

__all__ = ["parallel_figure", "plot_parallel"]

INK = "#334155"
MOST_VALUES = 10
CLOSEST = 0.035
"""The least distance between two ticks, as a share of the height."""
FENCE = 1.5
"""How many interquartile ranges beyond the quartiles outliers begin."""


@plot
def plot_parallel(path: str | Path | None, rows: Sequence[Row], settings: Sequence[str], value: str) -> Any:
    """Draw a sweep in parallel coordinates: an axis for each setting and one for the figure, a line for each row.

    rows      one for each member: {setting or figure: value}
    settings  names of settings; numbers that are spaced logarithmically have a logarithmic axis, and values that are
              not numbers are evenly spaced
    value     the name of the figure, which colours the lines; rows where it is not finite are left out, and counted in
              the title. The best row, with the largest accuracy or the smallest figure of another kind, is a thick
              line. Colours end where outliers begin, 1.5 interquartile ranges beyond the quartiles, and the title says
              so

    It is written into a .svg, .png or .pdf file; without a path the figure is returned. Raises SettingError if there
    are no rows, a row lacks a name or no figure is finite, MissingPackageError without matplotlib.
    """
    return finish(parallel_figure(rows, settings, value), path)


def parallel_figure(rows: Sequence[Row], settings: Sequence[str], value: str) -> Any:
    """The figure that plot_parallel saves."""
    check_names("settings", settings)
    names = [*settings, value]
    check_rows(rows, names)
    kept = sorted((row for row in rows if not math.isnan(finite_or_nan(row[value]))), key=lambda row: row[value])
    if not kept:
        raise SettingError(f"No row has a finite {value!r}: there is nothing to draw.")
    worst_first = kept if "accuracy" in value else kept[::-1]
    figures = [float(row[value]) for row in kept]
    scales = [_Scale(values_of(kept, name)) for name in settings] + [_Scale(figures, logarithmic(value, figures))]
    figure = new_figure(max(5.0, 1.6 * len(names)), 3.8)
    usual = _without_outliers(figures, logarithmic(value, figures))
    axes, colours = figure.subplots(), colours_of(value, usual)
    for row in worst_first:
        heights = [scale.height(row[name]) for scale, name in zip(scales, names, strict=True)]
        axes.plot(heights, color=colours.to_rgba(row[value]), alpha=0.7, linewidth=1)
    axes.plot(heights, color=INK, linewidth=4)
    axes.plot(heights, color=colours.to_rgba(row[value]), linewidth=2.5)
    for position, scale in enumerate(scales):
        scale.draw(axes, position, right=position == len(settings))
    axes.set_xlim(-0.5, len(settings) + 0.3)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xticks(range(len(names)), map(plain, names))
    axes.tick_params(axis="x", length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    title = f"{len(kept)} of {len(rows)} rows have a finite {plain(value)}" if len(rows) > len(kept) else plain(value)
    clipped = f", colours from {text(usual[0])} to {text(usual[-1])}" if len(usual) < len(figures) else ""
    set_title(axes, title + clipped)
    return figure


def _without_outliers(figures: Sequence[float], log: bool) -> list[float]:
    """Increasing figures without those far from the quartiles; all of them if the quartiles are equal."""
    places = [math.log(figure) for figure in figures] if log else list(figures)
    if len(places) < 2:
        return list(figures)
    low, _, high = quantiles(places, n=4, method="inclusive")
    reach = FENCE * (high - low) or math.inf
    return [figure for figure, place in zip(figures, places, strict=True) if low - reach <= place <= high + reach]


class _Scale:
    """A vertical axis of height 1: numbers on a linear or logarithmic scale, other values evenly spaced."""

    def __init__(self, values: Sequence[Any], log: bool | None = None) -> None:
        self.values = list(values)
        self.numeric = all(map(is_number, values))
        self.log = self.numeric and (spaced_logarithmically(values) if log is None else log)

    def height(self, value: Any) -> float:
        """Where a value stands, from 0 to 1."""
        place, (low, high) = self._place(value), (self._place(self.values[0]), self._place(self.values[-1]))
        return (place - low) / (high - low) if high > low else 0.5

    def draw(self, axes: Any, position: int, right: bool) -> None:
        """Draw the axis with its values on one side."""
        axes.axvline(position, color=INK, linewidth=1)
        last = -math.inf
        for value in self._ticks():
            height = self.height(value)
            if height - last >= CLOSEST:
                label = {"ha": "left" if right else "right", "va": "center", "fontsize": "small", "color": INK}
                box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8}
                axes.text(position + (0.03 if right else -0.03), height, text(value), bbox=box, **label)
                last = height

    def _place(self, value: Any) -> float:
        if not self.numeric:
            return float(self.values.index(value))
        return math.log(value) if self.log else float(value)

    def _ticks(self) -> list[Any]:
        """Return all values if they are few, or else round numbers and the ends."""
        low, high = self.values[0], self.values[-1]
        if not self.numeric or len(self.values) <= MOST_VALUES:
            return self.values
        ticker = matplotlib("ticker")
        locator = ticker.LogLocator(subs=(1, 2, 5)) if self.log else ticker.MaxNLocator(8)
        return sorted({low, high, *(tick for tick in locator.tick_values(low, high).tolist() if low < tick < high)})
