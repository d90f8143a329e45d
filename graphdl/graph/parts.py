"""Parts of a network: the nodes between some inputs and some outputs, as two new dictionaries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphdl.errors import MissingInputError, SettingError, UnreachableError, listing
from graphdl.graph.declaration import Feed, Key, Shared
from graphdl.graph.naming import known_values
from graphdl.graph.reading import sources

if TYPE_CHECKING:
    from graphdl.graph.build import Graph


@dataclass(frozen=True)
class Part:
    """What a part is made of.

    operators, connectivity  its two dictionaries
    owners                   node that owns parameters in the part -> the node that owns them in the whole
    outputs                  the nodes that are wanted
    """

    operators: dict[Key, Any]
    connectivity: dict[Key, tuple[Feed, ...]]
    owners: dict[Key, Key]
    outputs: tuple[Key, ...]


def cut_part(graph: Graph, order: Iterable[Key], known: Mapping[Key, str], inputs: object, outputs: object) -> Part:
    """Cut out the nodes that lead from the inputs to the outputs.

    known  the inputs of the network; a name that is both one of these and a node means the input

    Errors: UnknownNodeError, MissingInputError for a value that the outputs need and that is neither computed inside
    nor given, UnreachableError for an input that they do not need.
    """
    given = _nodes(graph, inputs, "part(inputs=[...])", known)
    wanted = _nodes(graph, outputs, "part(outputs=[...])")
    for key in wanted:
        if graph.nodes[key]["operator"] is None or (key in given and key not in known):
            raise SettingError(f"part: {key!r} is an output and an input at once: nothing is left to compute it.")
    cuts = {key for key in given if key not in known or _is_input_node(graph, key)}
    inside = _inside(graph, cuts, given, wanted)
    nodes = [key for key in order if key in inside]
    owners: dict[Key, Key] = {}
    operators: dict[Key, Any] = {}
    first: dict[Key, Key] = {graph.nodes[key]["owner"]: graph.nodes[key]["owner"] for key in nodes}
    first = {owner: owner for owner in first if owner in inside}
    for key in nodes:
        owner = graph.nodes[key]["owner"]
        if first.setdefault(owner, key) == key:
            owners[key], operators[key] = owner, graph.nodes[key]["operator"]
        else:
            operators[key] = Shared(first[owner])
    return Part(operators, _edges(graph, [*(key for key in given if key in cuts), *nodes], inside), owners, wanted)


def _nodes(graph: Graph, keys: object, where: str, more: Iterable[Key] = ()) -> tuple[Key, ...]:
    return tuple(dict.fromkeys(known_values(graph, keys, where, more).values()))


def _is_input_node(graph: Graph, key: Key) -> bool:
    return key in graph and graph.nodes[key]["operator"] is None


def _inside(graph: Graph, cuts: set[Key], given: Collection[Key], wanted: tuple[Key, ...]) -> set[Key]:
    """The nodes that the wanted ones depend on, up to the cuts."""
    inside: set[Key] = set()
    used: set[Key] = set()
    missing: dict[Key, Key] = {}
    frontier = list(wanted)
    while frontier:
        key = frontier.pop()
        if key in inside:
            continue
        inside.add(key)
        for slot, source in sources(graph, key).items():
            implicit = slot in graph.nodes[key]["implicit"]
            if source in (given if implicit else cuts):
                used.add(source)
            elif implicit or graph.nodes[source]["operator"] is None:
                missing[source] = key
            else:
                frontier.append(source)
    if missing:
        reads = listing(f"{name!r}, which {key} reads" for name, key in missing.items())
        raise MissingInputError(
            f"part: {listing(map(str, wanted))} cannot be computed from {listing(map(repr, given))} alone, but also "
            f"from {reads}. Add it to inputs, or cut the part at a later node."
        )
    if unused := [key for key in given if key not in used]:
        raise UnreachableError(
            f"part: {listing(map(str, wanted))} does not depend on {listing(map(repr, unused))}: leave that out of "
            "inputs."
        )
    return inside


def _edges(graph: Graph, keys: Iterable[Key], inside: set[Key]) -> dict[Key, tuple[Feed, ...]]:
    """The edges from these nodes to those inside, each with its slot."""
    return {
        key: tuple(
            Feed(fed, _slot_name(graph, fed, edge["slot"]), edge["gradient"])
            for _, fed, edge in graph.out_edges(key, data=True)
            if fed in inside
        )
        for key in keys
    }


def _slot_name(graph: Graph, key: Key, slot: int) -> int | str | None:
    node = graph.nodes[key]
    if node["reads"] == 1:
        return None
    slots = node["operator"].slots
    return slot if slots is None else str(slots[slot])
