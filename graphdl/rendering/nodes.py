"""The data of a diagram: facts about every node, and the graph completed by inputs that have no node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from graphdl.errors import DrawingError, listing
from graphdl.rendering.readings import Reading

if TYPE_CHECKING:
    import networkx

__all__ = [
    "FactsOf",
    "Graph",
    "ImplicitInput",
    "Key",
    "Namespace",
    "Node",
    "NodeFacts",
    "complete",
    "namespace",
    "short_name",
]

MOST_DEPTH = 16
"""How many namespaces a node is shown in; the rest of its name is its short name."""

Key: TypeAlias = str | int
Namespace: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class NodeFacts:
    """What the diagram shows of one node; every field except `kind` may be unknown.

    `family` determines the colours and `settings` is a short text such as "2 → 25". `parameters` is the number of
    elements of its parameters, `shares` the key of the node whose parameters it uses, `shape` the output's shape
    without the batch axis, `dtype` a short name such as "f32". `batched` is False where the output has no batch axis.
    `shapes` holds the shape of each element of a tuple of outputs. `value` and `gradient` hold what was recorded, one
    for each tensor.
    """

    kind: Literal["input", "operator", "loss"]
    operator: str = ""
    family: str = ""
    settings: str = ""
    parameters: int = 0
    shares: Key | None = None
    frozen: bool = False
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    batched: bool = True
    shapes: tuple[tuple[int, ...], ...] = ()
    value: tuple[Reading, ...] = ()
    gradient: tuple[Reading, ...] = ()

    @property
    def tone(self) -> str:
        """The family that colours the node: its own for an operator, its kind for inputs and losses."""
        return self.family if self.kind == "operator" else self.kind

    @property
    def read(self) -> bool:
        """Whether a recorded value or gradient is shown."""
        return bool(self.value or self.gradient)

    @property
    def own_parameters(self) -> int:
        """The number of parameters to add to a total: 0 if they belong to another node."""
        return self.parameters if self.shares is None else 0


@dataclass(frozen=True)
class ImplicitInput:
    """An input that has no node in the graph, as a node of the diagram, distinct from its consumer of the same name."""

    name: Key

    def __str__(self) -> str:
        return str(self.name)


Node: TypeAlias = Key | ImplicitInput
FactsOf: TypeAlias = Mapping[Node, NodeFacts]
Graph: TypeAlias = "networkx.MultiDiGraph[Any]"


def complete(graph: Graph, facts: Mapping[Key, NodeFacts]) -> tuple[Graph, dict[Node, NodeFacts]]:
    """Return a copy of the graph in which implicit inputs are nodes too, and the facts about all its nodes.

    Raises DrawingError if the facts of a node are missing.
    """
    missing = [key for key in graph if key not in facts]
    if missing:
        raise DrawingError(
            f"The diagram cannot be drawn: no facts are given about {listing(map(repr, missing))}. "
            "Every node of the graph needs NodeFacts."
        )
    whole = graph.copy()
    known: dict[Node, NodeFacts] = {key: facts[key] for key in graph}
    for key, node in graph.nodes(data=True):
        slots = getattr(node.get("operator"), "slots", None) or ()
        for slot, name in node.get("implicit", {}).items():
            pill = ImplicitInput(name)
            given = facts.get(name) if name not in graph else None
            known[pill] = given or NodeFacts("input")
            whole.add_edge(pill, key, slot=slot, slot_name=slots[slot] if len(slots) > 1 else None, gradient=1.0)
    return whole, known


def namespace(node: Node) -> Namespace:
    """Return the parts of a key before its last "/"; () if it has none.

    >>> namespace("layer1/res1/conv")
    ('layer1', 'res1')
    >>> namespace(7)
    ()
    """
    return tuple(node.split("/", MOST_DEPTH)[:-1]) if isinstance(node, str) else ()


def short_name(node: Node) -> str:
    """Return the part of a key after its last "/"; an implicit input keeps its full name.

    >>> short_name("layer1/res1/conv")
    'conv'
    """
    return node.split("/", MOST_DEPTH)[-1] if isinstance(node, str) else str(node)
