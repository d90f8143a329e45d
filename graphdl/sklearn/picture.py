"""The diagram of an estimator's network, for notebooks."""

from __future__ import annotations

from typing import Any

from graphdl import rendering
from graphdl.errors import GraphDLError
from graphdl.network import Network


def drawn(estimator: Any) -> str:
    """The diagram of the network as SVG in HTML; nothing where no network is known yet, or Graphviz is missing."""
    net = getattr(estimator, "network_", estimator.network)
    try:
        if isinstance(net, (tuple, list)):
            net = Network(*net)
        if not isinstance(net, Network) or not rendering.available():
            return ""
        svg = rendering.svg(net.diagram(title=type(estimator).__name__))
    except (GraphDLError, TypeError):  # a pair that is not a network is reported by fit
        return ""
    return f'<div style="overflow-x: auto">{svg[svg.index("<svg") :]}</div>'
