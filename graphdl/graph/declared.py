"""The two dictionaries as they are declared: normalised and checked, each level by itself."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from graphdl.errors import (
    CycleError,
    SettingError,
    UnknownNodeError,
    UnreachableError,
    did_you_mean,
    listing,
    path_text,
)
from graphdl.graph.declaration import Feed, Key, Shared, as_feed, as_list, check_key

if TYPE_CHECKING:
    Edge: TypeAlias = tuple[Key, Feed]


def normalise_operators(operators: Mapping[Key, Any]) -> dict[Key, Any]:
    """Check the keys of `operators` and replace a one-element list by its element."""
    if not isinstance(operators, Mapping) or not operators:
        raise SettingError(
            "operators must be a dictionary from nodes to operators, with at least one entry, such as "
            f"{{'fc1': Linear(2, 8)}}, not {operators!r:.200}"
        )
    plain: dict[Key, Any] = {}
    for key, operator in operators.items():
        check_key(key, "A key of operators")
        if isinstance(operator, (list, tuple)):
            if len(operator) != 1:
                raise SettingError(
                    f"operators[{key!r}] holds {len(operator)} operators, but a node computes one: "
                    "give each operator its own node and connect the nodes, or write Sequential(...)"
                )
            operator = operator[0]
        plain[key] = operator
    return plain


def normalise_connectivity(connectivity: Mapping[Key, Sequence[Key | Feed]]) -> dict[Key, tuple[Feed, ...]]:
    """Check the keys of `connectivity` and write every edge as a Feed."""
    if not isinstance(connectivity, Mapping):
        raise SettingError(
            "connectivity must be a dictionary from nodes to the nodes they feed, such as {'x': ['fc1']}, not "
            f"{connectivity!r:.200}"
        )
    plain = {}
    for key, fed in connectivity.items():
        check_key(key, "A key of connectivity")
        where = f"connectivity[{key!r}]"
        plain[key] = tuple(as_feed(edge, where) for edge in as_list(fed, where))
    return plain


def owners_by_key(operators: Mapping[Key, object], inside: Callable[[Key], bool]) -> dict[Key, Key]:
    """Follow every Shared to the node that owns the operator, in linear time.

    inside  whether a key that is not a node of this level leads into a block; the Shared that names it owns itself
    """
    owners: dict[Key, Key] = {}
    for key in operators:
        path: dict[Key, None] = {}
        while key not in owners and isinstance(shared := operators[key], Shared):
            path[key] = None
            if shared.key not in operators:
                if inside(shared.key):
                    break
                raise UnknownNodeError(unknown_shared(key, shared, operators))
            if shared.key in path:
                nodes = list(path)
                raise CycleError(shared_cycle([*nodes[nodes.index(shared.key) :], shared.key]))
            key = shared.key
        owner = owners.get(key, key)
        owners.update(dict.fromkeys((*path, key), owner))
    return {key: owners[key] for key in operators}


def shared_cycle(nodes: Sequence[Key]) -> str:
    """The text of the error for nodes that share each other's operators."""
    return f"Shared has a cycle: {path_text(nodes)}. Give one of these nodes its own operator."


def unknown_shared(key: Key, shared: Shared, operators: Mapping[Key, object]) -> str:
    """The text of the error for a Shared of a node that does not exist."""
    return (
        f"{key} is Shared({shared.key!r}), but no operator has that name.{did_you_mean(shared.key, operators)} "
        "Shared takes the key of the node whose operator it uses."
    )


def incoming_edges(
    operators: Mapping[Key, object],
    connectivity: Mapping[Key, tuple[Feed, ...]],
    holder: Callable[[Key], Key | None] = lambda key: None,
) -> dict[Key, list[Edge]]:
    """The incoming edges of every operator, in the order in which they are written.

    holder  the block that a key leads into, for the text of the error
    """
    incoming: dict[Key, list[Edge]] = {key: [] for key in operators}
    for source, feeds in connectivity.items():
        for feed in feeds:
            if feed.key not in incoming:
                raise UnknownNodeError(_unknown_fed(source, feed.key, operators, connectivity, holder(feed.key)))
            incoming[feed.key].append((source, feed))
    return incoming


def _unknown_fed(
    source: Key,
    fed: Key,
    operators: Mapping[Key, object],
    connectivity: Mapping[Key, object],
    block: Key | None,
) -> str:
    if block is not None:
        slots = getattr(operators[block], "slots", ())
        which = f", or one of its inputs: Feed({block!r}, slot={str(slots[0])!r})" if slots else ""
        return (
            f"{source} feeds {fed!r}, which leads into the block {block}: an edge feeds the block as a whole, "
            f"{block!r}{which}."
        )
    if fed in connectivity:
        return (
            f"{source} feeds {fed!r}, which is an input: a key of connectivity that is not an operator. An input "
            f"cannot be fed.{did_you_mean(fed, operators)} Give {fed!r} an operator, or remove the edge."
        )
    return (
        f"{source} feeds {fed!r}, but no operator has that name.{did_you_mean(fed, operators)} Declare it, or "
        "correct the edge: connectivity maps a node to those that it feeds, reads({...}) to those that it reads. "
        f"The operators are {listing(map(repr, operators))}."
    )


def check_connected(
    operators: Mapping[Key, object],
    connectivity: Mapping[Key, tuple[Feed, ...]],
    incoming: Mapping[Key, list[Edge]],
    used: Container[Key] = (),
) -> None:
    """Raise UnreachableError for an input that feeds nothing or an operator that is not connected: likely mistakes.

    used  the nodes and inputs that are connected in another way
    """
    if not connectivity:
        return
    for key, fed in connectivity.items():
        if not fed and key not in operators and key not in used:
            raise UnreachableError(
                f"{key!r} is a key of connectivity and not an operator, so it is an input, but it feeds nothing."
                f"{did_you_mean(key, operators)} Remove it, or name the nodes that it feeds."
            )
    for key in operators:
        if key not in connectivity and not incoming[key] and key not in used:
            raise UnreachableError(
                f"{key} is in operators but not in connectivity: nothing feeds it and it feeds nothing."
                f"{did_you_mean(key, [name for name in connectivity if name not in operators])} Connect it, remove it, "
                f"or write {key!r}: [] in connectivity to keep it as a separate network."
            )
