"""Figures of matplotlib: their panels, titles, legends and files."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, Protocol, cast, overload

from graphdl.calls import check_call
from graphdl.errors import SettingError, import_optional
from graphdl.files import replacing
from graphdl.shown import received, visible

__all__ = [
    "COLOURS",
    "colour_of",
    "finish",
    "legend_below",
    "matplotlib",
    "new_figure",
    "new_panels",
    "plot",
    "save_figure",
    "set_title",
]

P = ParamSpec("P")

COLOURS = ("#2563EB", "#E11D48", "#15803D", "#D97706", "#7C3AED", "#0891B2", "#C026D3", "#475569")
MOST_PANELS = 3
SUFFIXES = (".svg", ".png", ".pdf")
SCREEN = 100
"""Pixels per inch in a notebook."""
TITLE, LEGEND = 12.0, 9.0
"""Sizes of letters, in points; a letter is about 0.55 as wide."""
WIDTH_OF_A_LETTER = 0.55 / 72


def colour_of(position: int) -> str:
    """The colour of a class or a curve; after the last one they begin again."""
    return COLOURS[position % len(COLOURS)]


def new_figure(width: float, height: float) -> Any:
    """An empty figure of matplotlib; width and height in inches. A notebook shows it where a cell returns it.

    Raises MissingPackageError without matplotlib.
    """
    return _shown(matplotlib("figure").Figure)(figsize=(width, height), layout="constrained")


@cache
def _shown(base: Any) -> Any:
    """A class of figures that notebooks show; they show those of matplotlib only if its pyplot was imported."""

    class Figure(base):  # type: ignore[misc]  # known when matplotlib is imported
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=SCREEN, bbox_inches="tight")
            return file.getvalue()

    return Figure


def new_panels(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure and its panels, at most three a row, each of this width and height in inches.

    Raises SettingError if there is nothing to draw, MissingPackageError without matplotlib.
    """
    if count < 1:
        raise SettingError("There is nothing to draw: give at least one panel.")
    rows = math.ceil(count / MOST_PANELS)
    columns = math.ceil(count / rows)
    figure = new_figure(width * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in grid[count:]:
        unused.remove()
    return figure, list(grid[:count])


def set_title(axes: Any, title: str) -> None:
    """Give a panel a title on one line, in smaller letters if it is long."""
    text = " ".join(title.split())
    inches = axes.figure.get_size_inches()[0] / axes.get_gridspec().ncols
    axes.set_title(text, fontsize=min(TITLE, inches / max(len(text), 1) / WIDTH_OF_A_LETTER))


def legend_below(figure: Any, entries: Mapping[str, Any]) -> None:
    """Put a legend, label -> what it explains, below the panels; none if it has no entries."""
    if not entries:
        return
    entry = 0.6 + max(map(len, entries)) * WIDTH_OF_A_LETTER * LEGEND  # inches
    columns = max(1, min(len(entries), int(figure.get_size_inches()[0] / entry)))
    place = {"loc": "outside lower center", "ncols": columns, "fontsize": LEGEND, "frameon": False}
    figure.legend(list(entries.values()), list(entries), **place)


class Plot(Protocol[P]):
    """A function that draws into a file, or returns the figure if it is called without a path."""

    @overload
    def __call__(self, path: str | Path, /, *given: P.args, **named: P.kwargs) -> Path: ...

    @overload
    def __call__(self, path: str | Path | None, /, *given: P.args, **named: P.kwargs) -> Any: ...

    @overload
    def __call__(self, *given: P.args, **named: P.kwargs) -> Any: ...


def plot(draw: Callable[Concatenate[str | Path | None, P], Any]) -> Plot[P]:
    """Let the path, which is the first argument of a function, be left out: it is None then."""

    @wraps(draw)
    def drawn(*given: Any, **named: Any) -> Any:
        if "path" in named:
            given = (named.pop("path"), *given)
        elif not (given and (given[0] is None or isinstance(given[0], (str, Path)))):
            given = (None, *given)
        check_call(draw, given, named)
        return draw(*given, **named)

    return cast(Plot[P], drawn)


def finish(figure: Any, path: str | Path | None) -> Any:
    """Return the figure, or write it and return the path if there is one. All its texts are visible ones."""
    return _with_visible_texts(figure) if path is None else save_figure(figure, path)


def _with_visible_texts(figure: Any) -> Any:
    for text in figure.findobj(matplotlib("text").Text):
        text.set_text("\n".join(map(visible, text.get_text().split("\n"))))
    return figure


def save_figure(figure: Any, path: str | Path) -> Path:
    """Write a figure; return the path.

    Errors: SettingError for another suffix than .svg, .png and .pdf, FileFormatError if the file cannot be written.
    """
    if not isinstance(path, (str, Path)):
        raise SettingError(f"save_figure takes a figure and a path, not {received(path)} as the path.")
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        found = f"the suffix {path.suffix!r} is not known" if path.suffix else "it has no suffix"
        raise SettingError(f"{path.name} cannot be drawn: {found}. Use .svg, .png or .pdf.")
    with replacing(path) as unfinished:
        _with_visible_texts(figure).savefig(unfinished, dpi=150, bbox_inches="tight")
    return path


def matplotlib(module: str) -> ModuleType:
    """Import a module of matplotlib. Raises MissingPackageError without it."""
    return import_optional(f"matplotlib.{module}", "This picture", "matplotlib", "plots")
