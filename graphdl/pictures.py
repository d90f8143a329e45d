"""How a network shows itself: as a table and as a diagram."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graphdl import rendering
from graphdl.execution.engine import Engine
from graphdl.facts import node_facts
from graphdl.graph import Key
from graphdl.summary import summary_table

if TYPE_CHECKING:
    import graphviz

    from graphdl.graph.build import Graph


class Pictured:
    """What has a graph and an engine, and can be looked at."""

    graph: Graph
    order: tuple[Key, ...]
    engine: Engine

    def summary(self) -> str:
        """A table of the nodes, and totals. Shapes are known after `build` or the first pass."""
        return summary_table(self.graph, self.order, node_facts(self.engine))

    def diagram(self, *, title: str = "Network", theme: rendering.ThemeName = "light") -> graphviz.Digraph:
        """The network as a graphviz.Digraph. Shapes are drawn once known, after `build` or the first pass."""
        return rendering.diagram(self.graph, node_facts(self.engine), title=title, theme=theme)

    def render(self, path: str | Path, *, title: str = "Network", theme: rendering.ThemeName = "light") -> Path:
        """Draw the network into a .svg, .png, .pdf or .dot file; return its path.

        Raises DrawingError for another suffix, or where neither Graphviz nor pygraphviz is installed.
        """
        return rendering.render(self.diagram(title=title, theme=theme), path)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        if rendering.available():
            bundle["image/svg+xml"] = rendering.svg(self.diagram())
        return bundle
