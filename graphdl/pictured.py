"""The diagram of a network, with what its last passes recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphdl import rendering
from graphdl.errors import DrawingError
from graphdl.execution.engine import Engine
from graphdl.facts import node_facts
from graphdl.readings import readings
from graphdl.record import Record

if TYPE_CHECKING:
    import graphviz


class Pictured(rendering.Displayed):
    """What draws itself: a network with an engine and a record of its passes."""

    engine: Engine
    _record: Record

    def diagram(
        self,
        *,
        title: str = "Network",
        theme: rendering.ThemeName = "light",
        direction: rendering.Direction = "down",
        unfolded: bool = False,
        values: bool = False,
        gradients: bool = False,
    ) -> graphviz.Digraph:
        """The network as a graphviz.Digraph. Shapes are drawn once known, after `build` or the first pass.

        theme      "light" or "dark"
        direction  where the edges lead: "down" or "right"
        unfolded   one box for each node, instead of cards of several, circles, and blocks folded into one
        values     show the values of the last forward pass: small ones as numbers, large ones as mean ± standard
                   deviation, least … greatest, and a histogram
        gradients  show the gradients of these values, from the last backward pass, in the same way

        Raises DrawingError for a network with too many nodes or edges, and if no pass was recorded.
        """
        rendering.check_fixed_size(self.engine.graph, unfolded)  # before shapes are inferred
        facts = node_facts(self.engine)
        if values:
            recorded = _recorded(self._record.values, "values", "net.forward(inputs)")
            facts = {key: replace(fact, value=readings(recorded.get(key))) for key, fact in facts.items()}
        if gradients:
            recorded = _recorded(self._record.value_gradients, "gradients", "net.forward(inputs) and net.backward()")
            facts = {key: replace(fact, gradient=readings(recorded.get(key))) for key, fact in facts.items()}
        graph = self.engine.graph
        return rendering.diagram(graph, facts, title=title, theme=theme, direction=direction, unfolded=unfolded)

    def render(
        self,
        path: str | Path,
        *,
        title: str = "Network",
        theme: rendering.ThemeName = "light",
        direction: rendering.Direction = "down",
        unfolded: bool = False,
        values: bool = False,
        gradients: bool = False,
        dpi: int = rendering.DPI,
    ) -> Path:
        """Draw the network into a .svg, .png, .pdf or .dot file; return its path.

        The settings are those of `diagram`; dpi is the number of pixels per inch of a .png.

        Raises DrawingError for another suffix, where neither Graphviz nor pygraphviz is installed, and as `diagram`.
        """
        drawn = self.diagram(
            title=title, theme=theme, direction=direction, unfolded=unfolded, values=values, gradients=gradients
        )
        return rendering.render(drawn, path, dpi=dpi)


def _recorded(found: Mapping[Any, Any], what: str, remedy: str) -> Mapping[Any, Any]:
    if not found:
        raise DrawingError(f"The diagram cannot show {what}: no pass was recorded. Call {remedy} first.")
    return found
