"""A figure of a sweep against one of its settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from graphdl.errors import SettingError, listing
from graphdl.plots.curves import HIGHEST_ACCURACY, draw_band, label_band
from graphdl.plots.figures import colour_of, finish, legend_below, new_panels, plot, set_title
from graphdl.plots.table import (
    Row,
    check_rows,
    finite_or_nan,
    is_number,
    logarithmic,
    plain,
    spaced_logarithmically,
    text,
    values,
)

__all__ = ["lines_figure", "plot_lines"]


@plot
def plot_lines(path: str | Path | None, rows: Sequence[Row], x: str, value: str, by: str | None = None) -> Any:
    """Plot a figure of a sweep against one numeric setting, as mean and band of ± one standard deviation.

    rows   one for each member: {setting or figure: value}; mean and deviation are over the rows with the same settings
    by     the name of another setting: a curve for each of its values

    Settings that are spaced logarithmically, and positive figures over more than a decade other than accuracies, have a
    logarithmic axis. The vertical axis says over how many rows a mean is. It is written into a .svg, .png or .pdf file;
    without a path the figure is returned. Raises SettingError if there are no rows, a row lacks a name or x is not a
    number, MissingPackageError without matplotlib.
    """
    return finish(lines_figure(rows, x, value, by), path)


def lines_figure(rows: Sequence[Row], x: str, value: str, by: str | None = None) -> Any:
    """The figure that plot_lines saves."""
    check_rows(rows, [x, value] if by is None else [x, value, by])
    if not all(map(is_number, values(rows, x))):
        raise SettingError(f"{x!r} has the values {listing(map(repr, values(rows, x)))}: give a setting of numbers.")
    figure, (axes,) = new_panels(1, width=6.0, height=3.8)
    entries: dict[str, Any] = {}
    means: list[float] = []
    counts: list[int] = []
    for k, label in enumerate([None] if by is None else values(rows, by)):
        chosen = [row for row in rows if by is None or row[by] == label]
        across = values(chosen, x)
        runs = [[finite_or_nan(row[value]) for row in chosen if row[x] == setting] for setting in across]
        padded = torch.tensor(list(itertools.zip_longest(*runs, fillvalue=math.nan)), dtype=torch.float64)
        counts += padded.isfinite().sum(0).tolist()
        means += draw_band(axes, across, padded, colour=colour_of(k), marker="o")
        if by is not None:
            entries[f"{plain(by)} {text(label)}"] = axes.lines[-1]
    axes.set_xscale("log" if spaced_logarithmically(values(rows, x)) else "linear")
    axes.set_yscale("log" if logarithmic(value, means) else "linear")
    if "accuracy" in value:
        axes.set_ylim(top=min(axes.get_ylim()[1], HIGHEST_ACCURACY))
    axes.set_xlabel(plain(x))
    label_band(axes, counts)
    set_title(axes, plain(value))
    axes.grid(alpha=0.3)
    legend_below(figure, entries)
    return figure
