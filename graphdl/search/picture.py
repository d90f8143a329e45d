"""The picture of a sweep, chosen by how many settings vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphdl.plots import plot_curves, plot_heat_map, plot_lines, plot_parallel
from graphdl.plots.table import is_number, values
from graphdl.search.space import Setting, text_of
from graphdl.training import History

MOST_PANELS = 6
ABSENT = "none"


def draw(
    path: str | Path | None,
    settings: Sequence[Setting],
    figures: Sequence[Mapping[str, Any]],
    value: str,
    histories: Mapping[str, Sequence[History]],
) -> Any:
    """Draw a figure against the settings that vary.

    settings, figures  of each member that was trained; settings are given without seeds
    histories          label -> histories, for where no setting varies

    No setting: curves. One numeric: a line. Two of a grid: a heat map; three: several. Others: parallel coordinates.
    """
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    rows = [
        {**figure, **{name: _shown(setting.get(name, ABSENT)) for name in names}}
        for setting, figure in zip(settings, figures, strict=True)
    ]
    varied = [name for name in names if len(values(rows, name)) > 1]
    if not varied:
        return plot_curves(path, histories)
    if len(varied) == 1 and all(is_number(row[varied[0]]) for row in rows):
        return plot_lines(path, rows, varied[0], value)
    combinations = {tuple(repr(row[name]) for name in varied) for row in rows}
    counts = {name: len(values(rows, name)) for name in varied}
    if len(varied) in (2, 3) and len(combinations) == _product(counts.values()):
        x, y, *panels = sorted(varied, key=lambda name: -counts[name])
        if all(counts[name] <= MOST_PANELS for name in panels):
            return plot_heat_map(path, rows, x, y, value, panels)
    return plot_parallel(path, _means(rows, varied, value), varied, value)


def _product(counts: Any) -> int:
    product = 1
    for count in counts:
        product *= count
    return product


def _means(rows: Sequence[Mapping[str, Any]], names: Sequence[str], value: str) -> list[dict[str, Any]]:
    """A row for each setting, with the mean of the figure over its seeds and folds."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(repr([row[name] for name in names]), []).append(row)
    return [
        {name: held[0][name] for name in names} | {value: sum(row[value] for row in held) / len(held)}
        for held in groups.values()
    ]


def _shown(value: object) -> object:
    return value if is_number(value) else text_of(value)
