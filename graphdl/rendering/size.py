"""The size up to which a graph is drawn."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import networkx

from graphdl.errors import DrawingError, counted
from graphdl.rendering.nodes import Graph, Node, namespace

__all__ = ["check_fixed_size", "ranks", "refusal"]

REMEDY = (
    "Draw a part of the network, net.part(inputs=[...], outputs=[...]).render(path), or declare what repeats as equal "
    "Blocks in a row, which are drawn once"
)
MOST_SOURCE = 10_000
"""The most nodes, and edges, of which a DOT source is written."""
MOST_NODES, MOST_LENGTH = 2_000, 5_000
"""The most nodes that are drawn, and the greatest total length of edges in ranks: some seconds for Graphviz.

Dense graphs of three times the length take it more than 100 s.
"""


def ranks(graph: Graph) -> dict[Node, int]:
    """Return the length of the longest path to each node."""
    generations = enumerate(networkx.topological_generations(graph))
    return {node: level for level, nodes in generations for node in nodes}


def refusal(graph: Graph) -> str:
    """Return why a graph, in which blocks are folded, is not drawn by Graphviz; "" if it is.

    Raises DrawingError if it is too large for a DOT source too.
    """
    nodes, edges = graph.number_of_nodes(), graph.number_of_edges()
    _check(nodes, edges)
    rank = ranks(graph)
    length = sum(rank[head] - rank[tail] for tail, head in graph.edges())
    if nodes <= MOST_NODES and length <= MOST_LENGTH:
        return ""
    return (
        f"{_found(nodes, edges)} of the total length {length:,}, where an edge is as long as the longest path beside "
        f"it. At most {MOST_NODES:,} nodes and edges of the total length {MOST_LENGTH:,} can be drawn. {REMEDY}, or "
        "write a .dot file for another program."
    )


def check_fixed_size(graph: networkx.MultiDiGraph[Any], unfolded: bool = False) -> None:
    """Raise DrawingError if what cannot be folded is too large already: the nodes outside blocks and their edges."""
    fixed: Collection[Any] = graph if unfolded else {node for node in graph if not namespace(node)}
    _check(len(fixed), sum(head in fixed for _, head in graph.out_edges(fixed)))


def _check(nodes: int, edges: int) -> None:
    if max(nodes, edges) > MOST_SOURCE:
        raise DrawingError(
            f"{_found(nodes, edges)}, and the limit is {MOST_SOURCE:,} of either, {MOST_NODES:,} nodes for Graphviz. "
            f"{REMEDY}. net.summary() lists all nodes."
        )


def _found(nodes: int, edges: int) -> str:
    return f"The diagram cannot be drawn: it would have {counted(nodes, 'node')} and {counted(edges, 'edge')}"
