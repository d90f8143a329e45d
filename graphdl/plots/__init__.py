"""Pictures of what a network has learnt, of its training, and of a search over settings; by matplotlib."""

from __future__ import annotations

from graphdl.plots.confusion import plot_confusion
from graphdl.plots.curves import plot_curves
from graphdl.plots.figures import COLOURS, new_figure, save_figure
from graphdl.plots.heat_map import plot_heat_map
from graphdl.plots.images import plot_images
from graphdl.plots.lines import plot_lines
from graphdl.plots.parallel import plot_parallel
from graphdl.plots.points import plot_points

__all__ = [
    "COLOURS",
    "new_figure",
    "plot_confusion",
    "plot_curves",
    "plot_heat_map",
    "plot_images",
    "plot_lines",
    "plot_parallel",
    "plot_points",
    "save_figure",
]
