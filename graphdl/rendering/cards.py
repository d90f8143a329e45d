"""The layout of the graph: chains of operators become cards, namespaces become frames around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, TypeAlias

import networkx

from graphdl.rendering.nodes import FactsOf, Graph, Namespace, Node, NodeFacts, namespace

__all__ = [
    "MOST_ROWS",
    "SIGNS",
    "Card",
    "Form",
    "Frame",
    "Place",
    "arrange",
    "form",
    "group",
    "parameter_totals",
    "prefixes",
    "single",
]

Form: TypeAlias = Literal["card", "circle", "pill"]

SIGNS: Mapping[str, str] = {
    "Sum": "+",
    "Add": "+",
    "Subtract": "−",
    "Product": "×",
    "Multiply": "×",
    "Divide": "÷",
}
MOST_ROWS = 24


@dataclass(frozen=True)
class Card:
    """One box of the diagram: a card with a row for each operator of a chain, or a single pill or circle."""

    rows: tuple[Node, ...]
    form: Form
    namespace: Namespace


@dataclass(frozen=True)
class Place:
    """The position of a card or a frame: `frame` is the innermost frame around it.

    `title` holds the namespaces that contain nothing else, `times` is the number of equal blocks folded into it.
    """

    frame: Namespace
    title: Namespace
    times: int


@dataclass(frozen=True)
class Frame:
    """The rectangle of a namespace with more than one element."""

    path: Namespace
    place: Place


def form(facts: NodeFacts) -> Form:
    """Return how a node is drawn: inputs, losses and merges are separate, other operators are rows of cards."""
    if facts.kind != "operator":
        return "pill"
    if facts.operator in SIGNS and not facts.read:
        return "circle"
    return "pill" if facts.family == "merge" else "card"


def single(graph: Graph, facts: FactsOf) -> list[Card]:
    """Return a box for each node, in topological order: a card with one row, or a pill."""
    forms = ((node, form(facts[node])) for node in networkx.topological_sort(graph))
    return [Card((node,), "card" if kind == "card" else "pill", namespace(node)) for node, kind in forms]


def group(graph: Graph, facts: FactsOf) -> list[Card]:
    """Return the cards of a graph in topological order.

    An operator is on the card of its predecessor if the predecessor feeds nothing else and nothing else feeds the
    operator, both are in the same namespace, and the gradient factor of the edge is 1. A chain longer than MOST_ROWS is
    continued on another card.
    """
    next_row = {u: v for u, v, edge in graph.edges(data=True) if _continues(graph, facts, u, v, edge)}
    inner = set(next_row.values())
    cards: list[Card] = []
    for node in networkx.topological_sort(graph):
        if node in inner:
            continue
        chain = [node]
        while chain[-1] in next_row:
            chain.append(next_row[chain[-1]])
        pieces = (chain[start : start + MOST_ROWS] for start in range(0, len(chain), MOST_ROWS))
        cards.extend(Card(tuple(rows), form(facts[node]), namespace(node)) for rows in pieces)
    return cards


def _continues(graph: Graph, facts: FactsOf, u: Node, v: Node, edge: Mapping[str, Any]) -> bool:
    return (
        graph.out_degree(u) == 1
        and graph.in_degree(v) == 1
        and edge.get("gradient", 1.0) == 1.0
        and form(facts[u]) == form(facts[v]) == "card"
        and namespace(u) == namespace(v)
    )


def prefixes(path: Namespace) -> list[Namespace]:
    """Return a namespace and those that enclose it, except the top one, outermost first.

    >>> prefixes(("layer1", "res1"))
    [('layer1',), ('layer1', 'res1')]
    """
    return [path[:depth] for depth in range(1, len(path) + 1)]


def arrange(cards: Sequence[Card], repeats: Mapping[Namespace, int]) -> tuple[list[Frame], list[Place]]:
    """Return the frames, outermost first, and the place of every card.

    A namespace with one element gets no frame: its name becomes a part of the title of that element. A namespace with
    only a folded block keeps its frame.
    """
    spaces = list(dict.fromkeys(path for card in cards for path in prefixes(card.namespace)))
    contents = Counter(card.namespace for card in cards) + Counter(path[:-1] for path in spaces)
    holds_repeated = {path[:-1] for path in repeats}
    framed = {path for path in spaces if contents[path] > 1 or path in holds_repeated}
    frames = [_frame(path, framed, repeats) for path in spaces if path in framed]
    return frames, [_place(card.namespace, (), 1, framed, repeats) for card in cards]


def _frame(path: Namespace, framed: set[Namespace], repeats: Mapping[Namespace, int]) -> Frame:
    return Frame(path, _place(path[:-1], path[-1:], repeats.get(path, 1), framed, repeats))


def _place(
    path: Namespace, title: Namespace, times: int, framed: set[Namespace], repeats: Mapping[Namespace, int]
) -> Place:
    depth = len(path)
    while depth and path[:depth] not in framed:
        times *= repeats.get(path[:depth], 1)
        depth -= 1
    return Place(path[:depth], path[depth:] + title, times)


def parameter_totals(facts: FactsOf) -> Counter[Namespace]:
    """Return the number of parameters in each namespace and those within it; () is the total."""
    totals: Counter[Namespace] = Counter()
    for node, known in facts.items():
        for path in accumulate(((part,) for part in namespace(node)), initial=()):
            totals[path] += known.own_parameters
    return totals
