"""What a notebook shows of a network."""

from __future__ import annotations

import html
from abc import abstractmethod
from collections.abc import Callable

import graphviz

from graphdl.errors import DrawingError
from graphdl.rendering import drawing


class Displayed:
    """An object that notebooks show as its diagram; as its text where nothing draws it, or it is too large."""

    @abstractmethod
    def diagram(self) -> graphviz.Digraph:
        """The diagram."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """The text and, where it can be drawn, the picture."""
        picture = picture_of(self.diagram)
        drawn = {"image/svg+xml": picture, "text/html": as_html(picture)} if picture else {}
        return {"text/plain": repr(self), **drawn}

    def _repr_html_(self) -> str:
        """The picture where it can be drawn, or the text."""
        return as_html(picture_of(self.diagram)) or f"<pre>{html.escape(repr(self))}</pre>"


def picture_of(diagram: Callable[[], graphviz.Digraph]) -> str:
    """A diagram as SVG; "" if it cannot be drawn."""
    try:
        return drawing.svg(diagram()) if drawing.available() else ""
    except DrawingError:
        return ""


def as_html(picture: str) -> str:
    """SVG without the head of an XML file, which HTML does not have."""
    return picture[picture.index("<svg") :] if picture else ""
