"""The diagram of a network in DOT: frames, cards, pills and edges."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import takewhile

import graphviz

from graphdl.rendering.cards import SIGNS, Card, Frame, Place, arrange, group, parameter_totals, prefixes, single
from graphdl.rendering.drawing import Diagram
from graphdl.rendering.folding import Folded, fold
from graphdl.rendering.labels import card_label, circle_label, frame_label, hint, pill_label, title_label
from graphdl.rendering.nodes import FactsOf, Graph, ImplicitInput, Key, Namespace, Node, NodeFacts, complete, short_name
from graphdl.rendering.size import check_fixed_size, refusal
from graphdl.rendering.text import identifier, tooltip
from graphdl.rendering.theme import FONT, Direction, Theme, ThemeName, rank_direction, theme_named
from graphdl.rendering.titles import least_widths
from graphdl.rendering.wires import skips, wire_attributes

__all__ = ["diagram"]


@dataclass(frozen=True)
class Scene:
    """The elements of a diagram, before they are written as DOT."""

    folded: Folded
    facts: FactsOf
    cards: list[Card]
    places: list[Place]
    frames: list[Frame]
    ids: Mapping[Node, str]
    bypassing: Set[tuple[Node, Node]]
    theme: Theme
    least: Mapping[int, int]
    sideways: bool


def diagram(
    graph: Graph,
    facts: Mapping[Key, NodeFacts],
    *,
    title: str,
    theme: ThemeName = "light",
    direction: Direction = "down",
    unfolded: bool = False,
) -> graphviz.Digraph:
    """Return the diagram of a network.

    The graph's nodes are the network's keys; its edges have the attributes `slot`, `slot_name` and `gradient`; a node
    may have `implicit`, the names of the inputs without a node that feed it, by slot. `facts` describes every node.
    `unfolded` draws one box for each node.

    Raises DrawingError for a node without facts, for an unknown theme or direction, and for a graph with more than
    MOST_SOURCE nodes or edges after folding. One that is too large for Graphviz is refused where it is drawn.
    """
    colours, rankdir = theme_named(theme), rank_direction(direction)
    check_fixed_size(graph, unfolded)
    whole, known = complete(graph, facts)
    folded = Folded(whole, {}, {}) if unfolded else fold(whole, known)
    refused = refusal(folded.graph)
    cards = single(whole, known) if unfolded else group(folded.graph, known)
    frames, places = arrange(cards, folded.repeats)
    bypassing = skips(folded.graph, known)
    totals = parameter_totals(known)
    least = least_widths(folded.graph, cards, places, frames, totals, bypassing) if direction == "down" else {}
    scene = Scene(folded, known, cards, places, frames, _ids(whole), bypassing, colours, least, rankdir == "LR")
    picture = _canvas(title, title_label(title, known, totals[()], colours), colours, rankdir)
    _draw_boxes(picture, scene, totals)
    _draw_wires(picture, scene)
    picture.refused = refused
    return picture


def _canvas(title: str, label: str, theme: Theme, rankdir: str) -> Diagram:
    return Diagram(
        "network",
        graph_attr={
            "bgcolor": theme.background,
            "fontname": FONT,
            "label": label,
            "labelloc": "t",
            "labeljust": "l",
            "nodesep": "0.45",
            "pad": "0.35",
            "rankdir": rankdir,
            "ranksep": "0.42" if rankdir == "TB" else "0.6",
            "tooltip": tooltip(title),
        },
        node_attr={
            "fontname": FONT,
            "fontsize": "11",
            "penwidth": "1.4",
            "height": "0.3",
            "margin": "0.16,0.06",
        },
        edge_attr={
            "arrowsize": "0.7",
            "color": theme.edge,
            "fontcolor": theme.muted,
            "fontname": FONT,
            "fontsize": "9",
        },
    )


def _ids(graph: Graph) -> dict[Node, str]:
    """Return the id of each node in the diagram; a number and an equal text get different ids."""
    numbers = {str(node) for node in graph if isinstance(node, int)}
    kinds = {node: "input" if isinstance(node, ImplicitInput) else "op" for node in graph}
    return {node: f"{kind}:{repr(node) if node in numbers else node}" for node, kind in kinds.items()}


def _draw_boxes(picture: graphviz.Digraph, scene: Scene, totals: Mapping[Namespace, int]) -> None:
    boxes: dict[Namespace, graphviz.Digraph] = {(): picture}
    curved = _frames_of_skips(scene)
    for index, frame in enumerate(scene.frames):
        label = frame_label(frame.place, totals[frame.path], scene.theme)
        boxes[frame.path] = graphviz.Digraph(
            name=f"cluster{index}",
            graph_attr=_frame_attributes(scene, frame, label, "34" if frame.path in curved else "14"),
        )
    for index, (card, place) in enumerate(zip(scene.cards, scene.places, strict=True)):
        boxes[place.frame].node(f"n{index}", **_box_attributes(scene, card, place, scene.least.get(index, 0)))
    for frame in reversed(scene.frames):
        boxes[frame.place.frame].subgraph(boxes[frame.path])


def _frames_of_skips(scene: Scene) -> set[Namespace]:
    """Return the innermost frames around skip edges, which need space for the curve.

    Sideways, curves lead along titles, also those of frames that they enter.
    """
    frame_of = {node: place.frame for card, place in zip(scene.cards, scene.places, strict=True) for node in card.rows}
    framed = {frame.path for frame in scene.frames}
    around = set()
    for tail, head in scene.bypassing:
        pairs = zip(frame_of[tail], frame_of[head], strict=False)
        path: Namespace = tuple(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        while path and path not in framed:
            path = path[:-1]
        around.add(path)
        if scene.sideways:
            around.update(prefixes(frame_of[head]))
    return around


def _frame_attributes(scene: Scene, frame: Frame, label: str, margin: str) -> dict[str, str]:
    path, last = "/".join(frame.path), scene.folded.last.get(frame.path)
    return {
        "bgcolor": scene.theme.cluster,
        "color": scene.theme.border,
        "id": identifier(f"space:{path}"),
        "label": label,
        "labeljust": "l",
        "margin": margin,
        "penwidth": "1",
        "style": "rounded",
        "tooltip": tooltip(f"{path} to {'/'.join(last)}" if last else path),
    }


def _box_attributes(scene: Scene, card: Card, place: Place, least: int) -> dict[str, str]:
    node, theme = card.rows[0], scene.theme
    facts = scene.facts[node]
    if card.form == "card":
        label = card_label(card.rows, scene.ids, scene.facts, place, theme, least)
        return {"label": label, "shape": "plain", "tooltip": tooltip("/".join(card.namespace))}
    tone = theme.tone(facts.tone)
    shared = {"id": identifier(scene.ids[node]), "tooltip": tooltip(hint(node, facts)), "color": tone.strong}
    if card.form == "circle":
        look = {"shape": "circle", "fixedsize": "shape", "width": "0.32", "margin": "0", "style": "filled"}
        name = "/".join((*place.title, short_name(node)))
        label = circle_label(SIGNS[facts.operator], name, scene.sideways, theme)
        return shared | look | {"label": label, "fillcolor": tone.strong}
    label = pill_label(node, facts, place, theme)
    look = {"label": label, "shape": "box", "style": "rounded,filled", "fillcolor": tone.tint}
    return shared | look | ({"width": f"{least / 72:.2f}"} if least else {})


def _draw_wires(picture: graphviz.Digraph, scene: Scene) -> None:
    graph = scene.folded.graph
    box = {node: index for index, card in enumerate(scene.cards) for node in card.rows}
    row = {node: index for card in scene.cards if card.form == "card" for index, node in enumerate(card.rows)}
    for tail, head, edge in graph.edges(data=True):
        if box[tail] == box[head]:
            continue
        skip = (tail, head) in scene.bypassing
        ends = [f"n{box[tail]}", f"n{box[head]}"]
        if skip:
            ends[0] += f":r{row[tail]}:_" if tail in row else ""
        attributes = wire_attributes(graph, scene.facts, (tail, head), edge, skip, scene.theme)
        picture.edge(ends[0], ends[1], **attributes)
