"""Curves of losses and metrics, with bands of mean ± standard deviation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.plots.figures import colour_of, finish, legend_below, matplotlib, new_panels, plot, set_title
from graphdl.plots.table import check_names, logarithmic, plain
from graphdl.shown import received

__all__ = ["HIGHEST_ACCURACY", "curves_figure", "draw_band", "label_band", "plot_curves"]

HistoryLike: TypeAlias = Mapping[str, Sequence[float]]
Histories: TypeAlias = HistoryLike | Sequence[HistoryLike]

VALIDATION = "validation_"
HIGHEST_ACCURACY = 1.01
"""The top of a panel of accuracies, at most: a band may be wider."""
STYLES = {"": "-", VALIDATION: "--"}


@plot
def plot_curves(path: str | Path | None, histories: Mapping[str, Histories], names: Sequence[str] | None = None) -> Any:
    """Plot losses and metrics against the epoch, as the mean over several runs with a band of ± one standard deviation.

    histories  label -> a history, or histories of runs that differ in their seed; a history is name -> a value for
               each epoch
    names      what to plot, a panel each; by default all losses and metrics. Validation figures are dashed curves in
               the panel of their training figure

    Mean and deviation (with n - 1 in the denominator) are over the runs that have a finite value at that epoch. A panel
    of positive values over more than a decade has a logarithmic axis, except for accuracies. A band of positive values
    ends at the smallest. It is written into a .svg, .png or .pdf file; without a path the figure is returned.

    Raises SettingError if there are no histories or a name is in none, MissingPackageError without matplotlib.
    """
    return finish(curves_figure(histories, names), path)


def curves_figure(given: Mapping[str, Histories], names: Sequence[str] | None = None) -> Any:
    """The figure that plot_curves saves."""
    histories = _by_label(given)
    known = dict.fromkeys(name for runs in histories.values() for run in runs for name in run)
    if names is not None:
        check_names("names", names)
    if names is None:
        names = [name for name in known if not name.startswith(VALIDATION)]
    for name in names:
        if name not in known and VALIDATION + name not in known:
            has = listing(known) or "nothing yet"
            raise SettingError(f"No history has {name!r}.{did_you_mean(name, known)} They have {has}.")
    figure, panels = new_panels(max(len(names), 1), width=4.4, height=3.4)
    for axes, name in zip(panels, names, strict=False):
        means: list[float] = []
        for k, runs in enumerate(histories.values()):
            for prefix, style in STYLES.items():
                if any(prefix + name in run for run in runs):
                    means += draw_band(axes, *_aligned(runs, prefix + name), colour=colour_of(k), style=style)
        axes.set_yscale("log" if logarithmic(name, means) else "linear")
        if name.startswith("accuracy"):
            axes.set_ylim(top=min(axes.get_ylim()[1], HIGHEST_ACCURACY))
        set_title(axes, plain(name))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(matplotlib("ticker").MaxNLocator(integer=True))
        label_band(axes, [sum(name in run for run in runs) for runs in histories.values()])
        axes.grid(alpha=0.3)
    styles = [prefix for prefix in STYLES if any(prefix + name in known for name in names)]
    legend_below(figure, _entries(list(histories), both=len(styles) > 1))
    return figure


def draw_band(
    axes: Any, x: Sequence[float], values: Tensor, *, colour: str, style: str = "-", marker: str = ""
) -> list[float]:
    """Draw the mean of values (runs, x) with a band of ± one standard deviation; return the mean. NaN is left out."""
    finite = values.isfinite()
    count = finite.sum(0)
    mean = torch.where(finite, values, 0).sum(0) / count  # 0 / 0 = NaN where no run has a value
    squares = torch.where(finite, (values - mean).square(), 0).sum(0)
    deviation = (squares / (count - 1).clamp_min(1)).sqrt()
    axes.plot(
        x,
        mean.tolist(),
        style,
        color=colour,
        linewidth=1.2,
        markersize=4,
        marker=marker or ("o" if len(x) == 1 else ""),
    )
    if (count > 1).any():
        smallest = torch.where(finite, values, torch.inf).amin(0)
        low = torch.where(smallest > 0, torch.maximum(mean - deviation, smallest), mean - deviation)
        band = {"color": colour, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(x, low.tolist(), (mean + deviation).tolist(), **band)
    drawn: list[float] = mean.tolist()
    return drawn


def label_band(axes: Any, counts: Iterable[int]) -> None:
    """Say on the vertical axis over how many runs means and bands are, if they are over several."""
    drawn = sorted({count for count in counts if count})
    if drawn and drawn[-1] > 1:
        runs = f"{drawn[0]} to {drawn[-1]}" if len(drawn) > 1 else f"{drawn[0]}"
        axes.set_ylabel(f"mean ± standard deviation of {runs} runs", fontsize="small")


def _by_label(given: Any) -> dict[str, list[HistoryLike]]:
    """The histories of each label. Raises SettingError for anything else."""
    if isinstance(given, Mapping):
        held = {label: [runs] if isinstance(runs, Mapping) else runs for label, runs in given.items()}
        if all(isinstance(runs, Sequence) and all(isinstance(r, Mapping) for r in runs) for runs in held.values()):
            return {label: list(runs) for label, runs in held.items()}
    raise SettingError(f"histories must be {{label: history}} or {{label: list of histories}}, not {given!r:.100}: "
                       "write {'Adam': history}.")  # fmt: skip


def _aligned(runs: Sequence[HistoryLike], name: str) -> tuple[Sequence[float], Tensor]:
    """Return the epochs, and the values (runs, epochs), with NaN where a run has ended."""
    lists = [_numbers(name, run[name]) for run in runs if name in run]
    epochs = max(map(len, lists))
    padded = [values + [torch.nan] * (epochs - len(values)) for values in lists]
    return range(1, epochs + 1), torch.tensor(padded, dtype=torch.float64)


def _numbers(name: str, values: Any) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        raise SettingError(
            f"{name!r} of a history must be a list of numbers, one an epoch, not {received(values)}."
        ) from None


def _entries(labels: Sequence[str], both: bool) -> dict[str, Any]:
    """Return the legend: a colour for each label, and the two styles of curves if there are both."""
    line = matplotlib("lines").Line2D
    entries = {label: line([], [], color=colour_of(k)) for k, label in enumerate(labels) if label}
    if both:
        colour = "#475569" if entries else colour_of(0)
        entries["training"], entries["validation"] = (line([], [], color=colour, linestyle=s) for s in STYLES.values())
    return entries
