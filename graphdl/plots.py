"""Plots of a classifier: points with decision regions, and the confusion matrix."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import MissingPackageError, SettingError, ShapeError

COLOURS = ("#2563EB", "#E11D48", "#15803D", "#D97706", "#7C3AED", "#0891B2", "#C026D3", "#475569")
GRID = 200


def plot_points(
    path: str | Path, data: Mapping[str, tuple[Tensor, Tensor]], classify: Callable[[Tensor], Tensor]
) -> Path:
    """Draw points in the plane coloured by class, over the regions that the classifier gives each class.

    data      title -> (points (n, 2), class indices (n)); one panel for each title
    classify  points (n, 2) -> class indices (n)

    Misclassified points are marked with a black x and counted in the title. The file is a .svg, .png or .pdf.
    Raises ShapeError if the points are not in the plane, MissingPackageError without matplotlib.
    """
    figure = new_figure(5.2 * len(data), 5)
    for axes, (title, (points, labels)) in zip(
        figure.subplots(1, len(data), squeeze=False)[0], data.items(), strict=True
    ):
        if points.dim() != 2 or points.shape[1] != 2:
            raise ShapeError(f"plot_points draws points (n, 2), and {title!r} has the shape {tuple(points.shape)}.")
        _draw_regions(axes, points, classify)
        wrong = classify(points) != labels
        for number in sorted(set(labels.tolist())):
            chosen = points[labels == number]
            axes.scatter(*chosen.T.tolist(), s=9, color=COLOURS[number % len(COLOURS)], label=f"class {number}")
        axes.scatter(*points[wrong].T.tolist(), marker="x", s=36, color="black", label="misclassified")
        count, rows = int(wrong.sum()), len(points)
        axes.set_title(f"{title}: {count} of {rows} wrong ({count / rows:.1%})")
        axes.set_aspect("equal")
        axes.legend(loc="upper right", fontsize="small")
    return save_figure(figure, path)


def _draw_regions(axes: Any, points: Tensor, classify: Callable[[Tensor], Tensor]) -> None:
    """Colour the plane around the points by the predicted class."""
    low, high = points.min(0).values, points.max(0).values
    margin = 0.03 * (high - low)
    xs, ys = (torch.linspace(float(a), float(b), GRID) for a, b in zip(low - margin, high + margin, strict=True))
    grid = torch.cartesian_prod(xs, ys).to(points)
    regions = classify(grid).view(GRID, GRID).T.cpu() % len(COLOURS)
    extent = (float(xs[0]), float(xs[-1]), float(ys[0]), float(ys[-1]))
    colours = importlib.import_module("matplotlib.colors").ListedColormap(COLOURS)
    limits = {"vmin": 0, "vmax": len(COLOURS) - 1}
    axes.imshow(regions.tolist(), extent=extent, origin="lower", cmap=colours, alpha=0.15, aspect="auto", **limits)


def plot_confusion(path: str | Path, labels: Tensor, predicted: Tensor) -> Path:
    """Draw the confusion matrix of true and predicted class indices, (n) each.

    The file is a .svg, .png or .pdf. Raises MissingPackageError without matplotlib and scikit-learn.
    """
    metrics = _optional("sklearn.metrics", "scikit-learn", "sklearn")
    counts = metrics.confusion_matrix(labels.tolist(), predicted.tolist())
    names = sorted(set(labels.tolist()) | set(predicted.tolist()))
    size = max(4.0, 0.5 * len(names) + 1.5)
    figure = new_figure(size, size)
    axes = figure.subplots()
    axes.imshow([[math.log1p(count) for count in row] for row in counts.tolist()], cmap="Blues")
    for i, row in enumerate(counts.tolist()):
        for j, count in enumerate(row):
            colour = "white" if count > counts.max() / 3 else "#334155"
            axes.text(j, i, count or "·", ha="center", va="center", color=colour, fontsize="small")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("class")
    wrong = int((labels != predicted).sum())
    axes.set_title(f"{wrong} of {len(labels)} wrong ({wrong / len(labels):.1%})")
    return save_figure(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure; width and height in inches. Raises MissingPackageError without matplotlib."""
    figure = _optional("matplotlib.figure", "matplotlib", "plots")
    return figure.Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: str | Path) -> Path:
    """Write a figure; return the path. Raises SettingError for a suffix that matplotlib cannot write."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror or error}.") from None
    except ValueError as error:
        raise SettingError(
            f"{path.name} cannot be drawn: {str(error).splitlines()[0]}. Use .svg, .png or .pdf."
        ) from None
    return path


def _optional(module: str, package: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingPackageError(f"This picture needs {package}: pip install 'graphdl[{extra}]'.") from None
