"""A figure of a sweep against two of its settings, as colours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from graphdl.plots.figures import finish, matplotlib, new_panels, plot, set_title
from graphdl.plots.table import Row, check_names, check_rows, finite_or_nan, logarithmic, plain, text, values

__all__ = ["colours_of", "heat_map_figure", "plot_heat_map"]

MISSING = "#E2E8F0"
TURNED = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
MOST_LEVEL = 4
"""More settings than these have turned labels."""
MOST_WRITTEN = 12
"""Cells have their figure written in them if there are at most so many in a row."""


@plot
def plot_heat_map(
    path: str | Path | None, rows: Sequence[Row], x: str, y: str, value: str, panels: Sequence[str] = ()
) -> Any:
    """Draw a figure of a sweep against two of its settings, as colours.

    rows     one for each member: {setting or figure: value}
    x, y     names of settings; their values are in increasing order, evenly spaced
    value    the name of the figure; a cell is the mean over the rows with these settings, grey if none is finite
    panels   names of further settings: a panel for each combination of their values, all with the same colours

    Positive figures over more than a decade have logarithmic colours, except for accuracies. It is written into a .svg,
    .png or .pdf file; without a path the figure is returned. Raises SettingError if there are no rows or a row lacks a
    name, MissingPackageError without matplotlib.
    """
    return finish(heat_map_figure(rows, x, y, value, panels), path)


def heat_map_figure(rows: Sequence[Row], x: str, y: str, value: str, panels: Sequence[str] = ()) -> Any:
    """The figure that plot_heat_map saves."""
    check_names("panels", panels)
    check_rows(rows, [x, y, value, *panels])
    across, up = values(rows, x), values(rows, y)
    combinations = list(itertools.product(*(values(rows, name) for name in panels)))
    settings = [dict(zip(panels, chosen, strict=True)) for chosen in combinations]
    cells = [[[_mean(rows, value, {**fixed, x: a, y: b}) for a in across] for b in up] for fixed in settings]
    colours = colours_of(value, itertools.chain.from_iterable(itertools.chain.from_iterable(cells)))
    width, height = max(3.6, 1.4 + 0.5 * len(across)), max(2.2, 1.2 + 0.4 * len(up))
    figure, drawn = new_panels(len(settings), width, height)
    for axes, fixed, cell in zip(drawn, settings, cells, strict=True):
        axes.set_facecolor(MISSING)
        axes.imshow(cell, norm=colours.norm, cmap=colours.cmap, origin="lower", aspect="auto")
        if len(across) <= MOST_WRITTEN:
            _write(axes, cell, colours)
        axes.set_xticks(range(len(across)), map(text, across), **(TURNED if len(across) > MOST_LEVEL else {}))
        axes.set_yticks(range(len(up)), map(text, up))
        axes.set_xlabel(plain(x))
        axes.set_ylabel(plain(y))
        set_title(axes, ", ".join(f"{plain(name)} {text(chosen)}" for name, chosen in fixed.items()) or plain(value))
    figure.colorbar(colours, ax=drawn, label=plain(value), pad=0.02)
    return figure


def colours_of(name: str, figures: Iterable[float]) -> Any:
    """The colours of figures: from the smallest to the largest, on a logarithmic scale if they span decades."""
    finite = [figure for figure in figures if math.isfinite(figure)] or [0.0]
    norm = matplotlib("colors").LogNorm if logarithmic(name, finite) else matplotlib("colors").Normalize
    return matplotlib("cm").ScalarMappable(norm(min(finite), max(finite)), "viridis")


def _mean(rows: Sequence[Row], value: str, settings: Mapping[str, Any]) -> float:
    chosen = [row for row in rows if all(row[name] == wanted for name, wanted in settings.items())]
    finite = [figure for figure in map(finite_or_nan, (row[value] for row in chosen)) if not math.isnan(figure)]
    return fmean(finite) if finite else math.nan


def _write(axes: Any, cells: list[list[float]], colours: Any) -> None:
    """Write the figure of each cell in letters that stand out from its colour."""
    for row, figures in enumerate(cells):
        for column, figure in enumerate(figures):
            if math.isfinite(figure):
                red, green, blue, _ = colours.to_rgba(figure)
                colour = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
                axes.text(column, row, f"{figure:.3g}", ha="center", va="center", color=colour, fontsize="x-small")
