"""Charts of tables: bars of one group, bars of many groups, ratios and growth as lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.results import Measurement, Table
from benchmarks.tables import number

COLOURS = ("#2563EB", "#D97706", "#64748B", "#15803D", "#BE123C", "#7C3AED", "#0891B2", "#E11D48")
OURS, THEIRS = "#2563EB", "#94A3B8"


def bars(table: Table, path: Path) -> None:
    """One bar a contestant, on a logarithmic axis, with its median and its spread."""
    found = [m for m in table.measurements if m.group == table.groups[0]]
    found.sort(key=lambda m: -m.median)
    figure, axes = _new(8, 0.8 + 0.36 * len(found))
    medians = [m.median for m in found]
    low = [m.median - min(m.figures) for m in found]
    high = [max(m.figures) - m.median for m in found]
    colours = [OURS if m.contestant.startswith("graphdl") else THEIRS for m in found]
    axes.barh(
        [m.contestant for m in found], medians, xerr=[low, high], color=colours, height=0.65,
        error_kw={"lw": 1, "ecolor": "#1E293B"},
    )  # fmt: skip
    for k, m in enumerate(found):
        axes.annotate(number(m.median), (max(m.figures), k), (5, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.set_xlim(min(medians) / 2, max(max(m.figures) for m in found) * 1.6)
    _finish(figure, axes, table.title, table.unit, path)


def grouped_bars(table: Table, path: Path) -> None:
    """A cluster of bars a group, a colour a contestant: the medians, on a logarithmic axis."""
    _clusters(table, path, table.contestants, lambda m: m.median, table.unit)


def grouped_ratios(table: Table, path: Path) -> None:
    """A cluster of bars a group, a colour a contestant: the ratios to the reference, a line at 1."""
    names = [name for name in table.contestants if name != table.reference]
    axis = f"{table.unit}: ratio to {table.reference}"
    _clusters(table, path, names, lambda m: table.ratio(m) or 0, axis, line=1.0)


def _clusters(
    table: Table, path: Path, names: list[str], size: Callable[[Measurement], float], axis: str, line: float = 0.0
) -> None:
    names = [name for name in names if any(m.contestant == name for m in table.measurements)]
    figure, axes = _new(8, 1.4 + 0.17 * len(table.groups) * (len(names) + 1))
    height = 0.8 / max(1, len(names))
    for k, name in enumerate(names):
        rows = [(place, table.find(group, name)) for place, group in enumerate(table.groups)]
        places = [place + (k + 0.5) * height - 0.4 for place, m in rows if m]
        sizes = [size(m) for _, m in rows if m]
        axes.barh(places, sizes, height=height * 0.92, color=_colour(table, name), label=name)
        for place, value in zip(places, sizes, strict=True):
            axes.annotate(number(value), (value, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(range(len(table.groups)), table.groups)
    axes.invert_yaxis()
    if line:
        axes.axvline(line, color="#1E293B", lw=1)
    else:
        axes.set_xscale("log")
    axes.margins(x=0.08)
    figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    _finish(figure, axes, table.title, axis, path)


def _colour(table: Table, name: str) -> str:
    """The contestant's colour: the same in every chart of a table."""
    return COLOURS[table.contestants.index(name) % len(COLOURS)]


def ratios(table: Table, path: Path) -> None:
    """Each group's ratios over its place on the axis: above 1 the reference is faster."""
    figure, axes = _new(8, 4.2)
    for name in table.contestants[1:]:
        found = [(m.at, table.ratio(m)) for m in table.measurements if m.contestant == name and m.at]
        points = [(at, ratio) for at, ratio in found if ratio]
        axes.scatter(*zip(*points, strict=True), s=26, color=_colour(table, name), alpha=0.75, label=name, linewidths=0)
    axes.axhline(1, color="#1E293B", lw=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8]
    axes.set_yticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylabel(f"time / time of {table.reference}")
    axes.legend(frameon=False)
    _finish(figure, axes, table.title, "multiplications a step", path)


def growth(table: Table, path: Path) -> None:
    """Each contestant's figure over the group's place, both axes logarithmic."""
    figure, axes = _new(8, 4.2)
    for name in table.contestants:
        found = [m for m in table.measurements if m.contestant == name and m.at]
        found.sort(key=lambda m: m.at or 0)
        axes.plot(
            [m.at for m in found], [m.median for m in found], "o-", color=_colour(table, name), label=name, ms=4, lw=1.5
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel(table.unit)
    axes.legend(frameon=False)
    _finish(figure, axes, table.title, "nodes", path)


def _new(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Any, axes: Any, title: str, x_label: str, path: Path) -> None:
    """Write it without a date, and with names that do not depend on chance."""
    import matplotlib

    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_xlabel(x_label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both" if axes.get_ylabel() else "x", color="#E2E8F0", lw=0.7)
    axes.set_axisbelow(True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "graphdl"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
