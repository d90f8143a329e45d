"""The two dictionaries -> one checked networkx graph.

Attributes of nodes and edges:

    node  kind      "input" or "operator"
          operator  the operator, which is the owner's for a Shared; None for an input
          owner     the node whose parameters it uses: the node itself, unless it is Shared
          implicit  {slot: name} of the inputs that feed it and have no node
          absent    the optional slots that nothing feeds
          reads     how many slots it has
    edge  slot, slot_name, gradient
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import networkx

from graphdl.errors import (
    CycleError,
    SettingError,
    UnknownNodeError,
    UnreachableError,
    did_you_mean,
    listing,
)
from graphdl.graph.declaration import Feed, Key, Shared, as_feed, as_list, check_key
from graphdl.graph.wiring import HasSlots, assign_slots, nodes_that_train, unfed_slots

if TYPE_CHECKING:
    Graph: TypeAlias = networkx.MultiDiGraph[Key]
    Edge: TypeAlias = tuple[Key, Feed]


O = TypeVar("O", bound=HasSlots)  # noqa: E741
Declared: TypeAlias = Mapping[Key, HasSlots | Shared]
Operators: TypeAlias = Mapping[Key, O | Shared | Sequence[O | Shared]]
Connectivity: TypeAlias = Mapping[Key, Sequence[Key | Feed]]


def build_graph(operators: Declared, connectivity: Mapping[Key, tuple[Feed, ...]]) -> Graph:
    """Build the graph of two normalised dictionaries, which is frozen; linear in nodes and edges.

    Errors: UnknownNodeError, ArityError, DuplicateSlotError, UnreachableError, and CycleError for Shared.
    """
    owners = _owners(operators)
    graph: Graph = networkx.MultiDiGraph()
    graph.add_nodes_from(
        (key, {"kind": "input", "operator": None, "owner": key, "implicit": {}, "absent": (), "reads": 0})
        for key in connectivity
        if key not in operators
    )
    graph.add_nodes_from(operators)  # before any edge, to keep the order in which nodes are declared
    incoming = _incoming(operators, connectivity)
    taken: set[Key] = {*operators, *connectivity}
    computing = {owner: cast("HasSlots", operators[owner]) for owner in owners.values()}  # an owner is not Shared
    trained = cache(lambda: nodes_that_train(computing, connectivity, owners))
    for key, owner in owners.items():
        operator, edges = computing[owner], incoming[key]
        slots = assign_slots(key, operator, edges, trained)
        names = operator.slots
        implicit, absent = unfed_slots(key, names, slots, taken)
        width = len(slots) + len(implicit) + len(absent)
        node = {"operator": operator, "owner": owner, "implicit": implicit, "absent": absent, "reads": width}
        graph.add_node(key, kind="operator", **node)
        for slot, (source, feed) in zip(slots, edges, strict=True):
            name = names[slot] if names is not None and width > 1 else None
            graph.add_edge(source, key, slot=slot, slot_name=name, gradient=feed.gradient)
    _check_connected(operators, connectivity, incoming)
    networkx.freeze(graph)
    return graph


def normalise_operators(operators: Operators[O]) -> dict[Key, O | Shared]:
    """Check the keys of `operators` and replace a one-element list by its element."""
    if not isinstance(operators, Mapping) or not operators:
        raise SettingError(
            f"operators must be a dictionary from nodes to operators, with at least one entry, not {operators!r}"
        )
    plain: dict[Key, O | Shared] = {}
    for key, operator in operators.items():
        check_key(key, "A key of operators")
        if isinstance(operator, (list, tuple)):
            if len(operator) != 1:
                raise SettingError(
                    f"operators[{key!r}] holds {len(operator)} operators, but a node computes one: "
                    "give each operator its own node and connect the nodes"
                )
            operator = operator[0]
        plain[key] = operator  # type: ignore[assignment]
    return plain


def normalise_connectivity(connectivity: Connectivity) -> dict[Key, tuple[Feed, ...]]:
    """Check the keys of `connectivity` and write every edge as a Feed."""
    if not isinstance(connectivity, Mapping):
        raise SettingError(f"connectivity must be a dictionary from nodes to the nodes they feed, not {connectivity!r}")
    plain = {}
    for key, fed in connectivity.items():
        check_key(key, "A key of connectivity")
        where = f"connectivity[{key!r}]"
        plain[key] = tuple(as_feed(edge, where) for edge in as_list(fed, where))
    return plain


def _owners(operators: Declared) -> dict[Key, Key]:
    """Follow every Shared to the node that owns the operator, in linear time."""
    owners: dict[Key, Key] = {}
    for key in operators:
        path: dict[Key, None] = {}
        while key not in owners and isinstance(shared := operators[key], Shared):
            path[key] = None
            if shared.key not in operators:
                raise UnknownNodeError(
                    f"{key} is Shared({shared.key!r}), but no operator has that name."
                    f"{did_you_mean(shared.key, operators)} Shared takes the key of the node whose operator it uses."
                )
            if shared.key in path:
                nodes = list(path)
                cycle = " -> ".join(str(node) for node in [*nodes[nodes.index(shared.key) :], shared.key])
                raise CycleError(f"Shared has a cycle: {cycle}. Give one of these nodes its own operator.")
            key = shared.key
        owner = owners.get(key, key)
        owners.update(dict.fromkeys((*path, key), owner))
    return {key: owners[key] for key in operators}


def _incoming(operators: Mapping[Key, object], connectivity: Mapping[Key, tuple[Feed, ...]]) -> dict[Key, list[Edge]]:
    """The incoming edges of every operator, in the order in which they are written."""
    incoming: dict[Key, list[Edge]] = {key: [] for key in operators}
    for source, feeds in connectivity.items():
        for feed in feeds:
            if feed.key not in incoming:
                raise UnknownNodeError(_unknown_text(source, feed.key, operators, connectivity))
            incoming[feed.key].append((source, feed))
    return incoming


def _unknown_text(source: Key, fed: Key, operators: Mapping[Key, object], connectivity: Mapping[Key, object]) -> str:
    if fed in connectivity:
        return (
            f"{source} feeds {fed!r}, which is an input: a key of connectivity that is not an operator. An input "
            f"cannot be fed.{did_you_mean(fed, operators)} Give {fed!r} an operator, or remove the edge."
        )
    return (
        f"{source} feeds {fed!r}, but no operator has that name.{did_you_mean(fed, operators)} "
        f"The operators are {listing(map(repr, operators))}."
    )


def _check_connected(
    operators: Mapping[Key, object],
    connectivity: Mapping[Key, tuple[Feed, ...]],
    incoming: Mapping[Key, list[Edge]],
) -> None:
    """Raise UnreachableError for an input that feeds nothing or an operator that is not connected: likely mistakes."""
    if not connectivity:
        return
    for key, fed in connectivity.items():
        if not fed and key not in operators:
            raise UnreachableError(
                f"{key!r} is a key of connectivity and not an operator, so it is an input, but it feeds nothing."
                f"{did_you_mean(key, operators)} Remove it, or name the nodes that it feeds."
            )
    for key in operators:
        if key not in connectivity and not incoming[key]:
            raise UnreachableError(
                f"{key} is in operators but not in connectivity: nothing feeds it and it feeds nothing."
                f"{did_you_mean(key, [name for name in connectivity if name not in operators])} Connect it, remove it, "
                f"or write {key!r}: [] in connectivity to keep it as a separate network."
            )
