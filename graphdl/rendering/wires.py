"""The edges of a diagram: skip edges, widths and labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphdl.rendering.cards import form
from graphdl.rendering.nodes import FactsOf, Graph, Node, NodeFacts, short_name
from graphdl.rendering.size import ranks
from graphdl.rendering.text import markup, shape_text, tooltip
from graphdl.rendering.theme import Theme
from graphdl.shown import shown

__all__ = ["MOST_SEARCHED", "GradientStyle", "gradient_style", "skips", "wire_attributes"]

MOST_SEARCHED = 500
SPINE_WEIGHT = "20"
COMMUTATIVE = frozenset({"Sum", "Add", "Product", "Multiply", "Mean", "Maximum", "Minimum"})


@dataclass(frozen=True)
class GradientStyle:
    """The style of an edge whose gradient factor is not 1."""

    line: str
    tail: str
    label: str


def gradient_style(gradient: float) -> GradientStyle | None:
    """Return the style of an edge whose gradient is stopped, reversed or scaled; None if the factor is 1."""
    if gradient == 1.0:
        return None
    if gradient == 0.0:
        return GradientStyle("dotted", "tee", "∇ stopped")
    sign = "−" if gradient < 0 else ""
    return GradientStyle("solid", "odiamond", f"∇ × {sign}{abs(gradient):g}")


def skips(graph: Graph, facts: FactsOf) -> set[tuple[Node, Node]]:
    """Return the edges into merges that bypass another path between the same two nodes.

    After MOST_SEARCHED nodes the search for another path stops and counts as successful, so that the time is linear.
    """
    rank = ranks(graph)
    merges = (node for node in graph if facts[node].kind == "operator" and form(facts[node]) != "card")
    return {(tail, merge) for merge in merges for tail in _bypassed(graph, rank, merge)}


def _bypassed(graph: Graph, rank: Mapping[Node, int], merge: Node) -> Iterator[Node]:
    tails = [tail for tail in graph.pred[merge] if rank[tail] < rank[merge] - 1 and graph.out_degree(tail) > 1]
    if not tails:
        return
    lowest = min(rank[tail] for tail in tails)
    reached: set[Node] = set()
    frontier = list(graph.pred[merge])
    while frontier and len(reached) < MOST_SEARCHED:
        node = frontier.pop()
        fresh = [tail for tail in graph.pred[node] if rank[tail] >= lowest and tail not in reached]
        reached.update(fresh)
        frontier.extend(fresh)
    yield from (tail for tail in tails if frontier or tail in reached)


def wire_attributes(
    graph: Graph, facts: FactsOf, ends: tuple[Node, Node], edge: Mapping[str, Any], skip: bool, theme: Theme
) -> dict[str, str]:
    """Return the DOT attributes of one edge."""
    tail, head = ends
    style = gradient_style(edge.get("gradient", 1.0))
    beside = facts[tail].kind == "input" and graph.in_degree(head) > 1
    attributes = {"weight": "0" if skip else "1" if beside else SPINE_WEIGHT}
    if skip:
        attributes |= {"color": theme.skip, "style": "dashed", "penwidth": "2.2"}
    else:
        attributes["penwidth"] = f"{pen_width(facts[tail].shape):.2f}"
    if style:
        attributes |= {"color": theme.gradient, "dir": "both", "arrowtail": style.tail}
        attributes["style"] = style.line if not skip else "dashed"
    label = _label(graph, facts, ends, edge, skip, style, theme)
    if label:
        attributes["label"] = f"<{label}>"
    tooltip = _tooltip(facts[tail], ends, edge, style)
    return attributes | dict.fromkeys(("tooltip", "labeltooltip"), tooltip)


def pen_width(shape: tuple[int, ...] | None) -> float:
    """Return the width of an edge, which grows with the logarithm of the number of elements."""
    return min(1.0 + 0.13 * math.log2(max(1, math.prod(shape or ()))), 6.0)


def _label(
    graph: Graph,
    facts: FactsOf,
    ends: tuple[Node, Node],
    edge: Mapping[str, Any],
    skip: bool,
    style: GradientStyle | None,
    theme: Theme,
) -> str:
    tail, head = ends
    lines = []
    if not skip and facts[tail].kind != "input" and facts[tail].shape is not None:
        lines.append(markup(shape_text(facts[tail].shape)))
    slot = edge.get("slot_name")
    ordered = graph.in_degree(head) > 1 and facts[head].operator not in COMMUTATIVE
    if slot is not None and ordered and slot != short_name(tail):
        lines.append(f"<I>{markup(slot, 16)}</I>")
    if style:
        lines.append(f'<FONT COLOR="{theme.gradient}"><B>{style.label}</B></FONT>')
    ends_of_line = '<BR ALIGN="LEFT"/>' if len(lines) > 1 else ""
    return "".join(f"&#160;&#160;{line}&#160;{ends_of_line}" for line in lines)


def _tooltip(source: NodeFacts, ends: tuple[Node, Node], edge: Mapping[str, Any], style: GradientStyle | None) -> Any:
    slot_name, slot = edge.get("slot_name"), edge.get("slot")
    parts = [
        f"{shown(ends[0])} → {shown(ends[1])}",
        f"slot {slot if slot_name is None else slot_name}" if slot is not None else "",
        shape_text(source.shape, source.dtype),
        style.label if style else "",
    ]
    return tooltip(" · ".join(filter(None, parts)))
