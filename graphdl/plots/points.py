"""Points in the plane over the decisions of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.intake import as_tensor
from graphdl.plots.figures import colour_of, finish, legend_below, matplotlib, new_panels, plot, set_title
from graphdl.shown import received

__all__ = ["plot_points", "points_figure"]

GRID = 240
SHADE = 0.35
MARGIN = 0.03
MARKED = "misclassified"


@plot
def plot_points(
    path: str | Path | None, data: Mapping[str, tuple[Tensor, Tensor]], classify: Callable[[Tensor], Tensor]
) -> Any:
    """Draw points in the plane coloured by class, over the regions that the classifier gives each class.

    data      title -> (points (n, 2), class indices (n)); a panel for each title, all with the same axes
    classify  points (n, 2) -> class indices (n), or probabilities: (n, k) of each class, or (n) or (n, 1) of class 1

    Misclassified points are marked with a black x and counted in the title. Black lines are the decision boundaries.
    Probabilities shade the plane: the surer the classifier is of its class, the stronger is the colour. It is written
    into a .svg, .png or .pdf file; without a path the figure is returned.

    Raises ShapeError if the points are not in the plane or the classifier's answer has another shape, SettingError if
    numbers with a fraction are not probabilities, MissingPackageError without matplotlib.
    """
    return finish(points_figure(data, classify), path)


def points_figure(data: Mapping[str, tuple[Tensor, Tensor]], classify: Callable[[Tensor], Tensor]) -> Any:
    """The figure that plot_points saves."""
    data = _checked(data)
    if not callable(classify):
        raise SettingError(
            f"plot_points: classify must be a function of points, not {received(classify)}: write "
            "lambda points: net.predict(points).argmax(1)."
        )
    figure, panels = new_panels(len(data), width=4.4, height=4.8)
    figure.set_layout_engine("compressed")  # panels of equal aspect, and a colour bar of their height
    plane = _Plane(torch.cat([points for points, _ in data.values()]), classify)
    entries: dict[str, Any] = {}
    for axes, (title, (points, labels)) in zip(panels, data.items(), strict=True):
        plane.draw(axes)
        wrong = _shares(_answers(classify, points), len(points)).argmax(1) != labels
        for number in sorted(set(labels.tolist())):
            chosen = points[labels == number].cpu()
            look = {"s": 14, "color": colour_of(number), "edgecolor": "white", "linewidth": 0.3}
            entries[f"class {number}"] = axes.scatter(*chosen.T.tolist(), **look)
        if wrong.any():
            crosses = axes.scatter(*points[wrong].T.tolist(), marker="x", s=36, linewidth=1.2, color="black")
            entries[MARKED] = crosses
        count, rows = int(wrong.sum()), len(points)
        set_title(axes, f"{title}: {count} of {rows} wrong ({count / rows:.1%})")
    legend_below(figure, dict(sorted(entries.items(), key=lambda entry: entry[0] == MARKED)))
    plane.colour_bar(figure, panels)
    return figure


def _checked(data: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """The points and labels of each title, as tensors."""
    takes = "plot_points takes {title: (points, labels)}"
    if not isinstance(data, Mapping):
        raise SettingError(f"{takes}, not {received(data)}: write {{'test': (points, labels)}}.")
    found = {}
    for title, pair in data.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise SettingError(f"{takes}, and {title!r} is a {type(pair).__name__}: add labels.")
        points = as_tensor(pair[0], f"plot_points: the points of {title!r}")
        labels = as_tensor(pair[1], f"plot_points: the labels of {title!r}")
        if points.dim() != 2 or points.shape[1] != 2:
            raise ShapeError(f"plot_points draws points (n, 2), and {title!r} has the shape {tuple(points.shape)}.")
        if labels.shape != points.shape[:1]:
            raise ShapeError(
                f"plot_points takes a class index for each point, ({len(points)},), and the labels of {title!r} have "
                f"the shape {tuple(labels.shape)}: write labels.argmax(1) of one-hot rows."
            )
        found[title] = points, labels
    return found


def _answers(classify: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    return as_tensor(classify(points), "what classify returned")


class _Plane:
    """The plane around all points, shaded by what the classifier says of it, with its boundaries."""

    def __init__(self, points: Tensor, classify: Callable[[Tensor], Tensor]) -> None:
        low, high = points.min(0).values, points.max(0).values
        margin = MARGIN * (high - low).max().clamp_min(1e-6)
        sides = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
        self.xs, self.ys = (torch.linspace(*side, GRID) for side in sides)
        grid = torch.cartesian_prod(self.xs, self.ys).to(points)
        answers = _answers(classify, grid).detach().cpu()
        self.gradual = answers.is_floating_point()
        self.shares = _shares(answers, len(grid)).view(GRID, GRID, -1).transpose(0, 1)

    def draw(self, axes: Any) -> None:
        left, right, low, high = (float(side[k]) for side in (self.xs, self.ys) for k in (0, -1))
        axes.imshow(
            _blend(self.shares).numpy(), extent=(left, right, low, high), origin="lower", interpolation="bilinear"
        )
        lead = self.shares - _best_of_others(self.shares)
        for number in range(1 if lead.shape[2] == 2 else 0, lead.shape[2]):
            if (lead[..., number] > 0).any() and (lead[..., number] < 0).any():
                axes.contour(self.xs, self.ys, lead[..., number], levels=[0.0], colors="#1E293B", linewidths=1.0)
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)
        axes.locator_params(nbins=6)
        axes.set_aspect("equal")

    def colour_bar(self, figure: Any, panels: list[Any]) -> None:
        """Explain the shading if it is of the probabilities of two classes."""
        if not self.gradual or self.shares.shape[2] != 2:
            return
        first = torch.linspace(1, 0, 64)
        colours = matplotlib("colors").ListedColormap(_blend(torch.stack([first, 1 - first], dim=1)).numpy())
        scale = matplotlib("cm").ScalarMappable(matplotlib("colors").Normalize(0, 1), colours)
        figure.colorbar(scale, ax=panels, label="probability of class 1", fraction=0.04, pad=0.02)


def _shares(answers: Tensor, rows: int) -> Tensor:
    """Return the share of each class (n, k) from 0 to 1: the probabilities, or 1 for the class that is given."""
    if answers.shape[:1] != (rows,) or answers.dim() > (2 if answers.is_floating_point() else 1):
        raise ShapeError(
            f"classify returned the shape {tuple(answers.shape)} for {rows} points: return class indices ({rows},), or "
            f"probabilities ({rows}, classes)."
        )
    if not answers.is_floating_point():
        classes = max(2, int(answers.max()) + 1)
        return (answers.unsqueeze(1) == torch.arange(classes, device=answers.device)).float()
    if not (answers.min() >= -1e-6 and answers.max() <= 1 + 1e-6):
        raise SettingError(
            f"classify returned numbers from {float(answers.min()):.4g} to {float(answers.max()):.4g}, which are not "
            "probabilities: return class indices, as prediction.argmax(1), or probabilities, as prediction.softmax(1)."
        )
    answers = answers.float().reshape(rows, -1)
    return torch.cat([1 - answers, answers], dim=1) if answers.shape[1] == 1 else answers


def _best_of_others(shares: Tensor) -> Tensor:
    """Return, for each class, the largest share of another one."""
    two, order = shares.topk(2, dim=-1)
    best, second = two[..., :1], two[..., 1:]
    numbers = torch.arange(shares.shape[-1])
    return torch.where(numbers == order[..., :1], second, best)


def _blend(shares: Tensor) -> Tensor:
    """Return colours (..., 3): white where all classes are equally probable, and of the class where it is certain."""
    count = shares.shape[-1]
    colours = torch.tensor([matplotlib("colors").to_rgb(colour_of(number)) for number in range(count)])
    lead = ((shares * count - 1) / (count - 1)).clamp(0, 1)
    return 1 - SHADE * (lead @ (1 - colours)).clamp(0, 1)
