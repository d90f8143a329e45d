"""Nodes that a caller has named: each is there, and of use for what it is named for."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from graphdl.errors import SettingError, UnknownNodeError, did_you_mean, listing
from graphdl.graph.declaration import enclosing

if TYPE_CHECKING:
    from graphdl.graph.build import Graph
    from graphdl.graph.declaration import Key


def output_of(graph: Graph, key: Any, where: str) -> Any:
    """The node whose value a key means: the output of a block, and any other key itself."""
    outputs = graph.graph["blocks"].get(key, (key,)) if isinstance(key, (str, int)) else (key,)
    if len(outputs) > 1:
        raise UnknownNodeError(
            f"{where}: the block {key} has several outputs, {listing(map(repr, outputs))}: name one of them."
        )
    return outputs[0]


def members_of(graph: Graph, keys: Iterable[Any]) -> dict[Any, list[Key]]:
    """The operators that each key chooses: itself, or all nodes of the block of that name; none for an unknown name."""
    found: dict[Any, list[Key]] = {key: [key] for key in keys if key in graph}
    missing = {str(key): key for key in keys if key not in graph}
    if missing:
        found.update((key, []) for key in missing.values())
        for node in _computed(graph):
            for head in enclosing(node):
                if head in missing:
                    found[missing[head]].append(node)
    return found


def known_keys(keys: object, where: str, known: Collection[Key]) -> tuple[Key, ...]:
    """Names given as a list, each once and each known. Raises SettingError or UnknownNodeError."""
    if isinstance(keys, (str, int)) or not isinstance(keys, Iterable):
        raise SettingError(f"{where} takes a list of names, such as [{next(iter(known))!r}], not {keys!r}.")
    found: dict[Any, None] = {key: None for key in keys if not _unnamable(key, where)}
    if not found:
        raise SettingError(f"{where} takes at least one name.")
    for key in found:
        if key not in known:
            raise UnknownNodeError(f"{where}: the network has no node {key!r}.{did_you_mean(key, known)}")
    return tuple(found)


def _unnamable(key: object, where: str) -> bool:
    """Raise SettingError for what cannot be a name."""
    if isinstance(key, (str, int)):
        return False
    hint = " predict takes no targets." if where.startswith("predict") else ""
    raise SettingError(f"{where} takes names of nodes, such as ['fc1'], not a {type(key).__name__}.{hint}")


def known_values(graph: Graph, keys: object, where: str, more: Iterable[Key] = ()) -> dict[Key, Key]:
    """Names of values, given as a list: name -> the node, of a block its output. Raises as `known_keys`.

    more  names besides those of nodes and blocks
    """
    known: ChainMap[Key, Any] = ChainMap(dict.fromkeys(more), graph.graph["blocks"], graph.nodes)  # type: ignore[arg-type]
    return {key: output_of(graph, key, where) for key in known_keys(keys, where, known)}


def owners_of(graph: Graph, nodes: Iterable[Key]) -> frozenset[Key]:
    """The owners of the parameters of nodes and blocks to freeze. Raises SettingError or UnknownNodeError."""
    nodes = tuple(nodes)
    for key in nodes:
        if isinstance(key, (list, tuple, set)):
            raise SettingError(f"Nodes are given one by one, freeze('fc1', 'fc2'), not as {key!r}.")
    members = members_of(graph, nodes)
    for key, found in members.items():
        if not found or graph.nodes[found[0]]["operator"] is None:
            raise UnknownNodeError(f"The network has no operator {key!r}.{did_you_mean(key, _named(graph))}")
    return frozenset(graph.nodes[node]["owner"] for found in members.values() for node in found)


def check_recompute(graph: Graph, losses: Collection[Key], nodes: Iterable[Key]) -> frozenset[Key]:
    """The nodes to recompute as a set; of a block, all but its losses. Inputs and losses are refused."""
    if isinstance(nodes, (str, int)):
        raise SettingError(f"recompute is a list of nodes, such as ['fc1', 'tanh'], not {nodes!r}.")
    nodes = list(nodes)
    for key in nodes:
        if isinstance(key, (list, tuple, set)):
            raise SettingError(f"recompute: nodes are given one by one, ['fc1', 'fc2'], not as {key!r}.")
        if key in losses:
            raise SettingError(f"recompute: {key} is a loss, which ends every step: there is nothing to gain.")
        if key in graph and graph.nodes[key]["operator"] is None:
            raise SettingError(f"recompute: {key} is an input of the network, which is there anyway.")
    members = members_of(graph, nodes)
    for key, found in members.items():
        if not found:
            raise UnknownNodeError(f"recompute: the network has no node {key!r}.{did_you_mean(key, _named(graph))}")
    return frozenset(node for found in members.values() for node in found if node not in losses)


def _named(graph: Graph) -> list[Key]:
    """The names that choose operators: those of nodes and of blocks."""
    return [*_computed(graph), *graph.graph["blocks"]]


def _computed(graph: Graph) -> list[Key]:
    return [key for key, node in graph.nodes(data=True) if node["operator"] is not None]
