"""Rendering of DOT: by the program `dot` if it is installed, otherwise by pygraphviz in this process."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import graphviz

from graphdl.errors import DrawingError, FileFormatError, did_you_mean
from graphdl.files import write_bytes
from graphdl.rendering.fonts import warn_of_missing_glyphs

__all__ = ["DPI", "Diagram", "available", "render", "svg"]

Drawer: TypeAlias = Callable[[graphviz.Digraph, str], bytes]

DRAWN = (".svg", ".png", ".pdf")
SOURCE = (".dot", ".gv")
DPI, MOST_DPI = 144, 2400
REMEDY = "Install one of them: `apt-get install graphviz`, or `pip install graphdl[draw]`."


_one_at_a_time = threading.Lock()


class Diagram(graphviz.Digraph):  # type: ignore[misc]
    """A digraph that notebooks display also if only pygraphviz is installed.

    refused  why it is too large to be drawn; "" if it is not
    """

    refused = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None, **_: object) -> dict[str, str]:
        return {"image/svg+xml": svg(self)} if available() and not self.refused else {"text/plain": self.source}


def available() -> bool:
    """Return whether the program `dot` or pygraphviz is installed."""
    return _drawer() is not None


def render(digraph: graphviz.Digraph, path: str | Path, dpi: int = DPI) -> Path:
    """Write a diagram into a .svg, .png, .pdf or .dot file and return its path.

    `dpi` is the number of pixels per inch of a .png. Missing folders are created.
    Raises DrawingError for another suffix, for a file that cannot be written, and if
    neither `dot` nor pygraphviz is installed or it fails: the DOT source is then written next to the path.
    """
    if isinstance(dpi, bool) or not isinstance(dpi, int) or not 1 <= dpi <= MOST_DPI:
        raise DrawingError(f"dpi is the number of pixels per inch, a whole number from 1 to {MOST_DPI}, not {dpi!r}.")
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix in SOURCE:
        return _write(target, digraph.source.encode())
    if suffix not in DRAWN:
        raise DrawingError(
            f"A diagram cannot be written to {str(target)!r}: its suffix must be .svg, .png, .pdf or .dot."
            f"{did_you_mean(suffix, DRAWN) if suffix else ''}"
        )
    _check_size(digraph)
    try:
        picture = _draw(digraph, suffix[1:], dpi)
    except DrawingError as error:
        source = _write(target.with_suffix(".dot"), digraph.source.encode())
        raise DrawingError(
            f"{error} The diagram's source was written to {str(source)!r}; `dot -T{suffix[1:]} -O {source}` draws it."
        ) from error
    return _write(target, picture)


def svg(digraph: graphviz.Digraph) -> str:
    """Return a diagram as SVG text. Raises DrawingError if it cannot be drawn."""
    return _draw(digraph, "svg").decode()


def _draw(digraph: graphviz.Digraph, form: str, dpi: int = DPI) -> bytes:
    _check_size(digraph)
    draw = _drawer()
    if draw is None:
        raise DrawingError(
            f"The diagram cannot be drawn: neither the program `dot` nor pygraphviz is installed. {REMEDY}"
        )
    sharp = digraph.copy()
    if form == "png":
        sharp.graph_attr["dpi"] = str(dpi)
    if form != "svg":
        warn_of_missing_glyphs(digraph.source)
    picture = draw(sharp, form)
    if not picture:
        raise DrawingError(f"The diagram cannot be drawn: Graphviz gave an empty {form}.")
    return picture


def _check_size(digraph: graphviz.Digraph) -> None:
    if refused := getattr(digraph, "refused", ""):
        raise DrawingError(refused)


def _drawer() -> Drawer | None:
    if shutil.which("dot"):
        return _by_program
    return _in_process if importlib.util.find_spec("pygraphviz") else None


def _by_program(digraph: graphviz.Digraph, form: str) -> bytes:
    try:
        return bytes(digraph.pipe(format=form, quiet=True))
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or b"").decode(errors="replace").strip() or "it gave no reason"
        raise DrawingError(f"The program `dot` failed with exit status {error.returncode}: {reason}.") from error
    except (graphviz.ExecutableNotFound, OSError) as error:
        raise DrawingError(f"The program `dot` could not be started: {error}. {REMEDY}") from error


def _in_process(digraph: graphviz.Digraph, form: str) -> bytes:
    try:
        import pygraphviz

        with warnings.catch_warnings(), _silent_libraries():
            warnings.simplefilter("ignore")
            picture = pygraphviz.AGraph(string=digraph.source).draw(format=form, prog="dot")
    except Exception as error:
        raise DrawingError(f"pygraphviz failed to draw the diagram: {error}.") from error
    return bytes(picture)


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Discard what C libraries write to the standard error, such as the complaints of fontconfig."""
    with _one_at_a_time, open(os.devnull, "wb") as nothing:
        stderr = os.dup(2)
        try:
            os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _write(path: Path, content: bytes) -> Path:
    try:
        write_bytes(path, content)
    except FileFormatError as error:
        raise DrawingError(
            f"The diagram cannot be written to {str(path)!r}: {error} Choose a path that is writable."
        ) from error
    return path
