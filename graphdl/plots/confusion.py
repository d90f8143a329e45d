"""The confusion matrix of a classifier."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
from torch import Tensor

from graphdl.errors import SettingError, ShapeError, import_optional
from graphdl.plots.figures import finish, new_figure, plot
from graphdl.shown import received

__all__ = ["plot_confusion"]

CLASSES = "must be class indices, or classes as texts, one a row"


@plot
def plot_confusion(path: str | Path | None, labels: Tensor, predicted: Tensor) -> Any:
    """Draw the confusion matrix of true and predicted class indices, (n) each.

    Classes may also be texts. It is written into a .svg, .png or .pdf file; without a path the figure is returned.

    Raises ShapeError for other shapes, SettingError for values that are not classes, MissingPackageError without
    matplotlib and scikit-learn.
    """
    metrics = import_optional("sklearn.metrics", "This picture", "scikit-learn", "sklearn")
    wanted, found = _array("labels", labels), _array("predicted", predicted)
    if wanted.ndim != 1 or wanted.shape != found.shape or not len(wanted):
        raise ShapeError(
            "plot_confusion takes class indices, labels (n,) and predicted (n,), and these have the shapes "
            f"{wanted.shape} and {found.shape}: write prediction.argmax(1) for predictions of each class."
        )
    for name, classes in (("labels", wanted), ("predicted", found)):
        if classes.dtype.kind not in "biufU" or (
            classes.dtype.kind == "f" and not all(map(float.is_integer, classes.tolist()))
        ):
            raise SettingError(f"plot_confusion: {name} {CLASSES}, not {received(classes.tolist())}.")
    if (wanted.dtype.kind == "U") != (found.dtype.kind == "U"):
        raise SettingError("plot_confusion: of labels and predicted, one holds texts and one holds numbers.")
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


def _array(name: str, given: Any) -> Any:
    """An array of what is given. Raises SettingError for lists that differ in their lengths."""
    try:
        return numpy.asarray(given.tolist() if hasattr(given, "tolist") else given)
    except ValueError:
        raise SettingError(f"plot_confusion: {name} {CLASSES}, not {received(given)}.") from None
