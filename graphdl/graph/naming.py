"""Nodes that a caller has named: each is there, and of use for what it is named for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from graphdl.errors import SettingError, UnknownNodeError, did_you_mean

if TYPE_CHECKING:
    from graphdl.graph.build import Graph
    from graphdl.graph.declaration import Key


def known_keys(keys: object, where: str, known: Collection[Key]) -> tuple[Key, ...]:
    """Names given as a list, each once and each known. Raises SettingError or UnknownNodeError."""
    if isinstance(keys, (str, int)) or not isinstance(keys, Iterable):
        raise SettingError(f"{where} takes a list of names, such as [{next(iter(known))!r}], not {keys!r}.")
    found: dict[Any, None] = dict.fromkeys(keys)
    if not found:
        raise SettingError(f"{where} takes at least one name.")
    for key in found:
        if key not in known:
            raise UnknownNodeError(f"{where}: the network has no node {key!r}.{did_you_mean(key, known)}")
    return tuple(found)


def owners_of(graph: Graph, nodes: Iterable[Key]) -> frozenset[Key]:
    """The owners of the parameters of nodes to freeze. Raises SettingError or UnknownNodeError."""
    nodes = tuple(nodes)
    for key in nodes:
        if isinstance(key, (list, tuple, set)):
            raise SettingError(f"Nodes are given one by one, freeze('fc1', 'fc2'), not as {key!r}.")
        if key not in graph or graph.nodes[key]["operator"] is None:
            raise UnknownNodeError(f"The network has no operator {key!r}.{did_you_mean(key, _computed(graph))}")
    return frozenset(graph.nodes[key]["owner"] for key in nodes)


def check_recompute(graph: Graph, losses: Collection[Key], nodes: Iterable[Key]) -> frozenset[Key]:
    """The nodes to recompute as a set; inputs and losses are refused."""
    if isinstance(nodes, (str, int)):
        raise SettingError(f"recompute is a list of nodes, such as ['fc1', 'tanh'], not {nodes!r}.")
    found = list(nodes)
    for key in found:
        if isinstance(key, (list, tuple, set)):
            raise SettingError(f"recompute: nodes are given one by one, ['fc1', 'fc2'], not as {key!r}.")
        if key in losses:
            raise SettingError(f"recompute: {key} is a loss, which ends every step: there is nothing to gain.")
        if key not in graph:
            raise UnknownNodeError(f"recompute: the network has no node {key!r}.{did_you_mean(key, _computed(graph))}")
        if graph.nodes[key]["operator"] is None:
            raise SettingError(f"recompute: {key} is an input of the network, which is there anyway.")
    return frozenset(found)


def _computed(graph: Graph) -> list[Key]:
    return [key for key, node in graph.nodes(data=True) if node["operator"] is not None]
