"""Many small images on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError, did_you_mean, import_optional
from graphdl.intake import as_tensor
from graphdl.plots.figures import finish, new_figure, plot
from graphdl.shown import received

__all__ = ["plot_images"]

INCHES = 0.6  # width and height of an image on the sheet


@plot
def plot_images(path: str | Path | None, images: Tensor, columns: int = 16, colours: Any = "gray") -> Any:
    """Draw images (n, h, w) or (n, 1, h, w) in rows of `columns`, with a thin line between them.

    The smallest number of all images has the first of the colours, the largest one the last; `colours` is a colour map
    of matplotlib or its name. It is written into a .svg, .png or .pdf file; without a path the figure is returned.

    Raises ShapeError for other shapes and without images, SettingError if columns is not a whole number of at least 1,
    MissingPackageError without matplotlib.
    """
    images = as_tensor(images, "plot_images: images")
    found = tuple(images.shape)
    if images.dim() == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.dim() != 3 or not images.numel():
        raise ShapeError(f"plot_images draws images (n, h, w) or (n, 1, h, w), and these have the shape {found}.")
    if not isinstance(columns, int) or columns < 1:
        raise SettingError(f"plot_images: columns must be a whole number of at least 1, not {columns!r}.")
    library = import_optional("matplotlib", "This picture", "matplotlib", "plots")
    known = library.colormaps
    if not isinstance(colours, library.colors.Colormap) and not (isinstance(colours, str) and colours in known):
        raise SettingError(
            f"plot_images: colours must be a colour map of matplotlib, such as 'gray', not {received(colours)}."
            f"{did_you_mean(colours, known)}"
        )
    n, h, w = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    sheet = torch.full((rows * columns, h + 1, w + 1), torch.nan)
    sheet[:n, 1:, 1:] = images
    sheet = sheet.view(rows, columns, h + 1, w + 1).transpose(1, 2).reshape(rows * (h + 1), columns * (w + 1))
    figure = new_figure(INCHES * columns, INCHES * rows * h / w)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(sheet.numpy(), cmap=colours, interpolation="nearest")
    axes.axis("off")
    return finish(figure, path)
