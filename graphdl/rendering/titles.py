"""Room for the titles of frames: an arrow that leads into a frame from above passes to the right of its title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from graphdl.rendering.cards import Card, Frame, Place, prefixes
from graphdl.rendering.labels import frame_title_width
from graphdl.rendering.nodes import Graph, Namespace, Node

__all__ = ["least_widths"]

MARGIN, GAP = 14, 18
"""The least distance from a card to the frame around it, and that from a title to an arrow, in points."""


def least_widths(
    graph: Graph,
    cards: Sequence[Card],
    places: Sequence[Place],
    frames: Sequence[Frame],
    totals: Mapping[Namespace, int],
    bypassing: Set[tuple[Node, Node]],
) -> dict[int, int]:
    """Return the width that cards must have, by their index, for the arrow to their middle to miss all titles.

    These are the cards that are fed from outside a frame, other than by a skip edge.
    """
    place_of = {node: place.frame for card, place in zip(cards, places, strict=True) for node in card.rows}
    titles = {frame.path: frame_title_width(frame.place, totals[frame.path]) for frame in frames}
    found: dict[int, int] = {}
    for index, (card, place) in enumerate(zip(cards, places, strict=True)):
        around = [path for path in prefixes(place.frame) if path in titles]
        sources = [tail for tail in graph.pred[card.rows[0]] if (tail, card.rows[0]) not in bypassing]
        for depth, path in enumerate(reversed(around), start=1):
            if any(place_of[tail][: len(path)] != path for tail in sources):
                found[index] = max(found.get(index, 0), round(2 * (titles[path] + GAP - depth * MARGIN)))
    return found
