"""The sizes that the settings of operators declare, checked against each other before there are any data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from graphdl.errors import ShapeError
from graphdl.graph import Key, sources
from graphdl.operators import Item, Operator
from graphdl.operators.known_sizes import Known, KnownSizes, MisfitError

if TYPE_CHECKING:
    from graphdl.graph.build import Graph


def check_sizes(graph: Graph, order: Iterable[Key]) -> None:
    """Raise ShapeError for sizes that do not fit whatever the data are. Linear in nodes and edges.

    What is known spreads from node to node, back to inputs and through operators that keep shapes. Custom operators,
    and the subclasses that they derive from graphdl's, say nothing.
    """
    known: dict[Key, Known] = {}
    implicit: dict[Key, KnownSizes] = {}
    for key in order:
        node = graph.nodes[key]
        if node["operator"] is None:
            known[key] = KnownSizes()
            continue
        inputs: list[Any] = [None] * node["reads"]
        for slot, name in sources(graph, key).items():
            inputs[slot] = implicit.setdefault(name, KnownSizes()) if slot in node["implicit"] else known[name]
        try:
            known[key] = _propagated(key, node["operator"], inputs)
        except MisfitError as error:
            raise ShapeError(_text(graph, key, inputs, error)) from None


def _propagated(key: Key, operator: Operator, inputs: list[Any]) -> Known:
    """What is known of the value of a node, and is learned of its inputs."""
    several = any(isinstance(each, tuple) for each in inputs)
    if not type(operator).__module__.startswith("graphdl.operators.") or (several and not isinstance(operator, Item)):
        return KnownSizes()
    found = operator.propagate(*inputs)
    for each in (*inputs, *(found if isinstance(found, tuple) else (found,))):
        if isinstance(each, KnownSizes):
            for axis in each.held:
                each.origins.setdefault(axis, key)
    return found


def _text(graph: Graph, key: Key, inputs: list[Any], error: MisfitError) -> str:
    """What does not fit at a node, where it comes from, and how to mend it."""
    names, axis = sources(graph, key), error.axis
    kind = type(graph.nodes[key]["operator"]).__name__
    place = "its last axis" if axis == -1 else f"axis {axis}, counted from the end"

    def source(known: KnownSizes | None) -> str:
        return next(_named(graph, names[slot]) for slot, each in enumerate(inputs) if each is known)

    origin: Any = error.known.origins.get(axis)
    given = source(error.known)
    cause = given if origin is None else _named(graph, origin)
    follows = "" if cause == given else f", which follows from {cause}"
    if error.other is None:
        wanted = f"expects {error.expected}"
    else:
        wanted = f"has {error.expected} in its other input, from {source(error.other)}"
    return (
        f"{key} ({kind}) cannot take its inputs: the one from {given} has {error.known.held[axis]} elements "
        f"along {place}{follows}, and {key} {wanted}. Change one of the two sizes"
        f"{', or connect the nodes in another way' if error.other is not None else ''}."
    )


def _named(graph: Graph, key: Key) -> str:
    """A node with its operator, or an input."""
    operator = graph.nodes[key]["operator"] if key in graph else None
    return f"the input {key}" if operator is None else f"{key} ({type(operator).__name__})"
