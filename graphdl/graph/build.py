"""The two dictionaries -> one checked networkx graph.

Nodes carry what they are, edges carry where they end:

    node  kind      "input" or "operator"
          operator  the operator (of the owner, where it is shared); None for an input
          owner     the node whose parameters it uses: itself, unless it is Shared
          implicit  {slot: name} of the inputs that feed it without a node of their own
          reads     how many inputs it has
    edge  slot, slot_name, gradient
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias, TypeVar

import networkx

from graphdl.errors import (
    ArityError,
    CycleError,
    DuplicateSlotError,
    SettingError,
    UnknownNodeError,
    UnreachableError,
    did_you_mean,
    listing,
)
from graphdl.graph.declaration import Feed, Key, Shared, as_feed, as_list, check_key

if TYPE_CHECKING:
    Graph: TypeAlias = networkx.MultiDiGraph[Key]
    Edge: TypeAlias = tuple[Key, Feed]


class HasSlots(Protocol):
    """What a graph must know of an operator: the names of its inputs, or None for any number of them."""

    slots: ClassVar[tuple[str, ...] | None]


O = TypeVar("O", bound=HasSlots)  # noqa: E741
Declared: TypeAlias = Mapping[Key, HasSlots | Shared]
Operators: TypeAlias = Mapping[Key, O | Shared | Sequence[O | Shared]]
Connectivity: TypeAlias = Mapping[Key, Sequence[Key | Feed]]


def build_graph(operators: Declared, connectivity: Mapping[Key, tuple[Feed, ...]]) -> Graph:
    """Build the graph of two normalised dictionaries; linear in nodes and edges.

    Errors: UnknownNodeError, ArityError, DuplicateSlotError, UnreachableError, and CycleError for Shared.
    """
    owners = _owners(operators)
    graph: Graph = networkx.MultiDiGraph()
    graph.add_nodes_from(
        (key, {"kind": "input", "operator": None, "owner": key, "implicit": {}, "reads": 0})
        for key in connectivity
        if key not in operators
    )
    graph.add_nodes_from(operators)  # before any edge, so that nodes stand in the order in which they are declared
    incoming = _incoming(operators, connectivity)
    taken: set[Key] = {*operators, *connectivity}
    for key, owner in owners.items():
        operator: HasSlots = operators[owner]  # type: ignore[assignment]  # an owner is not Shared
        edges = incoming[key]
        slots = _assign_slots(key, operator, edges)
        names = operator.slots
        width = len(edges) or 1 if names is None else len(names)
        graph.add_node(
            key,
            kind="operator",
            operator=operator,
            owner=owner,
            implicit=_implicit_inputs(key, names, width, slots, taken),
            reads=width,
        )
        for slot, (source, feed) in zip(slots, edges, strict=True):
            name = names[slot] if names is not None and width > 1 else None
            graph.add_edge(source, key, slot=slot, slot_name=name, gradient=feed.gradient)
    _check_connected(operators, connectivity, incoming)
    return graph


def normalise_operators(operators: Operators[O]) -> dict[Key, O | Shared]:
    """Check the keys of `operators` and take a one-element list for its element."""
    if not isinstance(operators, Mapping) or not operators:
        raise SettingError(f"operators is a dictionary from nodes to operators, with one at least, not {operators!r}")
    plain: dict[Key, O | Shared] = {}
    for key, operator in operators.items():
        check_key(key, "A key of operators")
        if isinstance(operator, (list, tuple)):
            if len(operator) != 1:
                raise SettingError(
                    f"operators[{key!r}] holds {len(operator)} operators and a node computes one: "
                    "give each a node of its own and connect them"
                )
            operator = operator[0]
        plain[key] = operator  # type: ignore[assignment]
    return plain


def normalise_connectivity(connectivity: Connectivity) -> dict[Key, tuple[Feed, ...]]:
    """Check the keys of `connectivity` and write every edge as a Feed."""
    if not isinstance(connectivity, Mapping):
        raise SettingError(f"connectivity is a dictionary from nodes to the nodes they feed, not {connectivity!r}")
    plain = {}
    for key, fed in connectivity.items():
        check_key(key, "A key of connectivity")
        where = f"connectivity[{key!r}]"
        plain[key] = tuple(as_feed(edge, where) for edge in as_list(fed, where))
    return plain


def _owners(operators: Declared) -> dict[Key, Key]:
    """Follow every Shared to the node that owns the operator; each step is taken once."""
    owners: dict[Key, Key] = {}
    for key in operators:
        path: dict[Key, None] = {}
        while key not in owners and isinstance(shared := operators[key], Shared):
            path[key] = None
            if shared.key not in operators:
                raise UnknownNodeError(
                    f"{key} is Shared({shared.key!r}), and no operator has that name."
                    f"{did_you_mean(shared.key, operators)} Shared names the node whose operator it uses."
                )
            if shared.key in path:
                nodes = list(path)
                cycle = " -> ".join(str(node) for node in [*nodes[nodes.index(shared.key) :], shared.key])
                raise CycleError(f"Shared leads in a circle: {cycle}. Give one of these nodes an operator of its own.")
            key = shared.key
        owner = owners.get(key, key)
        owners.update(dict.fromkeys((*path, key), owner))
    return {key: owners[key] for key in operators}


def _incoming(operators: Mapping[Key, object], connectivity: Mapping[Key, tuple[Feed, ...]]) -> dict[Key, list[Edge]]:
    """Every operator's edges, in the order in which they are written."""
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
            f"{source} feeds {fed!r}, which is an input: a key of connectivity that is no operator, and nothing "
            f"feeds an input.{did_you_mean(fed, operators)} Give {fed!r} an operator, or remove the edge."
        )
    return (
        f"{source} feeds {fed!r}, and no operator has that name.{did_you_mean(fed, operators)} "
        f"The operators are {listing(map(repr, operators))}."
    )


def _assign_slots(key: Key, operator: HasSlots, edges: list[Edge]) -> list[int]:
    """The slot of every edge: the named ones first, the others in the order in which they are written."""
    names = operator.slots
    if names is not None and len(edges) > len(names):
        raise ArityError(_arity_text(key, operator, edges))
    if all(feed.slot is None for _, feed in edges):
        return list(range(len(edges)))
    width = len(edges) if names is None else len(names)
    claimed: dict[int, Key] = {}
    for source, feed in edges:
        if feed.slot is None:
            continue
        slot = _slot_position(key, operator, source, feed.slot, width)
        if slot in claimed:
            raise DuplicateSlotError(
                f"{key} ({type(operator).__name__}): slot {feed.slot!r} is fed by both {claimed[slot]} and {source}. "
                "Give each edge a slot of its own."
            )
        claimed[slot] = source
    free = iter(slot for slot in range(width) if slot not in claimed)
    return [
        next(free) if feed.slot is None else _slot_position(key, operator, source, feed.slot, width)
        for source, feed in edges
    ]


def _slot_position(key: Key, operator: HasSlots, source: Key, slot: int | str, width: int) -> int:
    names = operator.slots
    if isinstance(slot, str) and names is not None and slot in names:
        return int(names.index(slot))
    if isinstance(slot, int) and 0 <= slot < width:
        return slot
    expected = f"0 to {width - 1}" if width > 1 else "0"
    if names is None:
        expected += f", one for each of its {width} edges" if width > 1 else ", for its one edge"
    else:
        expected += f", or {listing(map(repr, names))}"
    raise ArityError(
        f"{key} ({type(operator).__name__}) has no slot {slot!r}, which {source} wants to feed."
        f"{did_you_mean(slot, names or ())} Its slots are {expected}."
    )


def _arity_text(key: Key, operator: HasSlots, edges: list[Edge]) -> str:
    names = operator.slots or ()
    takes = "1 input" if len(names) == 1 else f"{len(names)} inputs ({', '.join(names)})"
    sources = listing(source for source, _ in edges)
    return f"{key} ({type(operator).__name__}) takes {takes} and is fed by {sources}: put a Sum or a Concat between"


def _implicit_inputs(
    key: Key, names: tuple[str, ...] | None, width: int, slots: list[int], taken: set[Key]
) -> dict[int, Key]:
    """The unfed slots as inputs: named after the node, and after the slot too where several are unfed.

    taken  the names of all nodes and of the inputs so far; grows by those named here
    """
    if len(slots) == width:
        return {}
    unfed = [slot for slot in range(width) if slot not in slots]
    if len(unfed) == 1 or names is None:
        return dict.fromkeys(unfed, key)
    implicit: dict[int, Key] = {slot: f"{key}.{names[slot]}" for slot in unfed}
    for name in implicit.values():
        if name in taken:
            raise ArityError(
                f"{key}: its slots {listing(names[slot] for slot in unfed)} are fed by nothing and would become "
                f"inputs, and the name {name!r} is taken. Feed them from inputs named in connectivity."
            )
        taken.add(name)
    return implicit


def _check_connected(
    operators: Mapping[Key, object],
    connectivity: Mapping[Key, tuple[Feed, ...]],
    incoming: Mapping[Key, list[Edge]],
) -> None:
    """Refuse an input that feeds nothing, and a node left out of a connectivity that names others: likely slips."""
    if not connectivity:
        return
    for key, fed in connectivity.items():
        if not fed and key not in operators:
            raise UnreachableError(
                f"{key!r} is a key of connectivity and no operator, which makes it an input, and it feeds nothing."
                f"{did_you_mean(key, operators)} Remove it, or name the nodes that it feeds."
            )
    for key in operators:
        if key not in connectivity and not incoming[key]:
            raise UnreachableError(
                f"{key} is in operators and nowhere in connectivity: nothing feeds it and it feeds nothing."
                f"{did_you_mean(key, [name for name in connectivity if name not in operators])} Connect it, remove it, "
                f"or write {key!r}: [] in connectivity to keep it as a network of its own."
            )
