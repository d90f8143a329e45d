"""The confusion matrix of a classifier."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
from torch import Tensor

from graphdl.errors import ShapeError, import_optional
from graphdl.plots.figures import finish, new_figure, plot

__all__ = ["plot_confusion"]


@plot
def plot_confusion(path: str | Path | None, labels: Tensor, predicted: Tensor) -> Any:
    """Draw the confusion matrix of true and predicted class indices, (n) each.

    It is written into a .svg, .png or .pdf file; without a path the figure is returned. Raises MissingPackageError
    without matplotlib and scikit-learn.
    """
    metrics = import_optional("sklearn.metrics", "This picture", "scikit-learn", "sklearn")
    wanted, found = (numpy.asarray(each.tolist() if hasattr(each, "tolist") else each) for each in (labels, predicted))
    if wanted.ndim != 1 or wanted.shape != found.shape or not len(wanted):
        raise ShapeError(
            "plot_confusion takes class indices, labels (n,) and predicted (n,), and these have the shapes "
            f"{wanted.shape} and {found.shape}: write prediction.argmax(1) for predictions of each class."
        )
    counts = metrics.confusion_matrix(wanted, found)
    names = sorted({*wanted.tolist(), *found.tolist()})
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
    wrong = int((wanted != found).sum())
    axes.set_title(f"{wrong} of {len(wanted)} wrong ({wrong / len(wanted):.1%})")
    return finish(figure, path)
