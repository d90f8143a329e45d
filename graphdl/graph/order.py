"""Topological order, ancestors and inputs of a graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import networkx

from graphdl.errors import CycleError, path_text

if TYPE_CHECKING:
    from graphdl.graph.build import Graph
    from graphdl.graph.declaration import Key


def topological_order(graph: Graph) -> tuple[Key, ...]:
    """Every node after the nodes that it reads. Raises CycleError with the cycle in its message."""
    try:
        return tuple(networkx.topological_sort(graph))
    except networkx.NetworkXUnfeasible:
        raise CycleError(_cycle_text(graph)) from None


def ancestors(graph: Graph, nodes: Iterable[Key]) -> set[Key]:
    """The given nodes and all nodes that they depend on."""
    reached = set(nodes)
    frontier = list(reached)
    while frontier:
        found = [source for source in graph.pred[frontier.pop()] if source not in reached]
        reached.update(found)
        frontier.extend(found)
    return reached


def without_inputs(graph: Graph, order: Iterable[Key]) -> set[Key]:
    """The nodes that depend on no input of the network, from a topological order: their values have no batch axis."""
    found: set[Key] = set()
    for key in order:
        node = graph.nodes[key]
        if node["operator"] is not None and not node["implicit"] and found.issuperset(graph.pred[key]):
            found.add(key)
    return found


def refuse_cycle(edges: Iterable[tuple[Key, Key]]) -> None:
    """Raise CycleError if these edges have a cycle."""
    graph: Graph = networkx.MultiDiGraph(edges)
    topological_order(graph)


def _cycle_text(graph: Graph) -> str:
    components = networkx.strongly_connected_components(graph)
    cyclic = next(nodes for nodes in components if len(nodes) > 1 or any(graph.has_edge(n, n) for n in nodes))
    node = next(node for node in graph if node in cyclic)
    walked: dict[Key, int] = {}
    while node not in walked:  # every node of the component has a successor in it, so the walk ends in a cycle
        walked[node] = len(walked)
        node = next(fed for fed in graph.succ[node] if fed in cyclic)
    cycle = [*walked][walked[node] :]
    return (
        f"The connectivity has a cycle: {path_text([*cycle, node])}. A network is evaluated once from its inputs "
        "to its outputs: remove one of these edges. To apply the same operator again, give the next node Shared(...)."
    )


def inputs_of(graph: Graph) -> dict[Key, str]:
    """Every input of the network by name, with the reason why it is an input, for error messages."""
    reasons: dict[Key, str] = {}
    for key, node in graph.nodes(data=True):
        if node["operator"] is None:
            reasons[key] = "it is a key of connectivity and not an operator"
        for slot, name in node["implicit"].items():
            slots = node["operator"].slots
            place = f"the slot {slots[slot]!r} of " if slots is not None and len(slots) > 1 else ""
            reasons[name] = f"nothing feeds {place}{key} ({type(node['operator']).__name__})"
    return reasons
