"""The size up to which a graph is drawn."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import networkx

from graphdl.errors import DrawingError, counted
from graphdl.rendering.nodes import Graph, Node, namespace

__all__ = ["MOST_LENGTH", "MOST_NODES", "check_fixed_size", "check_size", "ranks"]

MOST_NODES, MOST_LENGTH = 2_000, 5_000
"""The most nodes, and the greatest total length of edges in ranks: Graphviz takes minutes beyond."""


def ranks(graph: Graph) -> dict[Node, int]:
    """Return the length of the longest path to each node."""
    generations = enumerate(networkx.topological_generations(graph))
    return {node: level for level, nodes in generations for node in nodes}


def check_size(graph: Graph) -> None:
    """Raise DrawingError if a graph, in which blocks are folded, has too many nodes or too long edges."""
    nodes, edges = graph.number_of_nodes(), graph.number_of_edges()
    if max(nodes, edges) > MOST_LENGTH:
        raise DrawingError(_text(nodes, edges))
    rank = ranks(graph)
    length = sum(rank[head] - rank[tail] for tail, head in graph.edges())
    if nodes > MOST_NODES or length > MOST_LENGTH:
        raise DrawingError(_text(nodes, edges, f" of the total length {length:,}"))


def check_fixed_size(graph: networkx.MultiDiGraph[Any], unfolded: bool = False) -> None:
    """Raise DrawingError if what cannot be folded is too large already: the nodes outside blocks and their edges."""
    fixed: Collection[Any] = graph if unfolded else {node for node in graph if not namespace(node)}
    edges = sum(head in fixed for _, head in graph.out_edges(fixed))
    if len(fixed) > MOST_NODES or edges > MOST_LENGTH:
        raise DrawingError(_text(len(fixed), edges))


def _text(nodes: int, edges: int, length: str = "") -> str:
    return (
        f"The diagram cannot be drawn: it would have {counted(nodes, 'node')} and {counted(edges, 'edge')}{length}. At "
        f"most {MOST_NODES:,} nodes can be drawn, and edges of the total length {MOST_LENGTH:,}: an edge is as long "
        "as the longest path beside it. Draw a part of the network, "
        "net.part(inputs=[...], outputs=[...]).render(path), or declare what repeats as equal Blocks in a row, which "
        "are drawn once. net.summary() lists all nodes."
    )
