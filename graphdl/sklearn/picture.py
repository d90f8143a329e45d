"""The diagram of an estimator's network, for notebooks."""

from __future__ import annotations

from typing import Any

from graphdl.errors import GraphDLError
from graphdl.network import Network
from graphdl.rendering import as_html, picture_of


def drawn(estimator: Any) -> str:
    """The diagram of the network as SVG in HTML; nothing where no network is known yet, or Graphviz is missing."""
    net = getattr(estimator, "network_", estimator.network)
    if isinstance(net, (tuple, list)):
        try:
            net = Network(*net)
        except (GraphDLError, TypeError):  # reported by fit
            return ""
    if not isinstance(net, Network):
        return ""
    picture = as_html(picture_of(lambda: net.diagram(title=type(estimator).__name__)))
    return picture and f'<div style="overflow-x: auto">{picture}</div>'
