"""What the nodes of a built graph read: their sources by slot, by role and by kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from graphdl.registry import defined_outside
from graphdl.slots import SlotRole, kind_of, role_of

if TYPE_CHECKING:
    from graphdl.graph.build import Graph
    from graphdl.graph.declaration import Key

InputKind: TypeAlias = Literal["integer", "boolean"]


def sources(graph: Graph, key: Key) -> dict[int, Key]:
    """Slot -> the node or the input that feeds it, in the order of the slots, without optional slots left unfed."""
    found: dict[int, Key] = dict(graph.nodes[key]["implicit"])
    for source, _, edge in graph.in_edges(key, data=True):
        found[edge["slot"]] = source
    return dict(sorted(found.items()))


def sources_by_role(graph: Graph, key: Key, role: SlotRole) -> tuple[Key, ...]:
    """What feeds the slots of a loss that have a role."""
    slots = graph.nodes[key]["operator"].slots or ()
    return tuple(source for slot, source in sources(graph, key).items() if slots and role_of(slots[slot]) == role)


def predictions_of(graph: Graph, losses: Collection[Key]) -> tuple[Key, ...]:
    """The nodes that feed the prediction slots of the losses; where no loss has one, their first slots."""
    predicted = [source for key in losses for source in sources_by_role(graph, key, "prediction")]
    first = [source for key in losses for source in list(sources(graph, key).values())[:1]]
    return tuple(key for key in dict.fromkeys(predicted or first) if key in graph)


def input_kinds(graph: Graph, shapes: Mapping[Key, Any] | None = None) -> dict[Key, InputKind]:
    """The inputs of the network that feed a slot declared integer or boolean, with that kind.

    shapes  node or input -> its shape, if known. It distinguishes probabilities from class indices; without it, an
            input at a slot of kind "class" counts as integer
    """
    kinds: dict[Key, InputKind] = {}
    for key, node in graph.nodes(data=True):
        if node["operator"] is None:
            continue
        for name, kind in _declared(graph, key, shapes or {}):
            if kinds.get(name) != "integer":
                kinds[name] = kind
    return kinds


def computed_with(graph: Graph) -> frozenset[Key]:
    """What feeds slots of trained operators of graphdl that are declared neither integer nor class."""
    found: set[Key] = set()
    for key, node in graph.nodes(data=True):
        operator = node["operator"]
        if operator is None or not operator.trains or defined_outside(operator):
            continue
        slots = operator.slots or ()
        found.update(s for k, s in sources(graph, key).items() if not slots or kind_of(slots[k]) is None)
    return frozenset(found)


def _declared(graph: Graph, key: Key, shapes: Mapping[Key, Any]) -> Iterator[tuple[Key, InputKind]]:
    node = graph.nodes[key]
    slots = node["operator"].slots or ()
    kinds = {slot: kind for slot, name in enumerate(slots) if (kind := kind_of(name)) is not None}
    if not kinds:
        return
    fed = sources(graph, key)
    predicted = [shapes.get(source) for source in sources_by_role(graph, key, "prediction")]
    for slot, kind in kinds.items():
        name = fed.get(slot)
        if name is None or (slot not in node["implicit"] and graph.nodes[name]["operator"] is not None):
            continue
        if kind == "boolean":
            yield name, "boolean"
        elif kind == "integer" or not (_computed_with(graph, name) or (name in shapes and shapes[name] in predicted)):
            yield name, "integer"


def _computed_with(graph: Graph, name: Key) -> bool:
    """Whether an input also feeds a slot that takes floating-point numbers: class indices feed none."""
    for _, key, edge in graph.out_edges(name, data=True) if name in graph else ():
        slots = graph.nodes[key]["operator"].slots or ()
        if edge["slot"] >= len(slots) or kind_of(slots[edge["slot"]]) is None:
            return True
    return False
