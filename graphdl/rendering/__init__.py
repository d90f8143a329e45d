"""Diagrams of networks: a graph and facts about its nodes -> DOT -> SVG, PNG or PDF. It does not import torch."""

from graphdl.rendering.dot import diagram
from graphdl.rendering.drawing import DPI, available, mime_bundle, render, svg
from graphdl.rendering.nodes import NodeFacts
from graphdl.rendering.readings import Reading
from graphdl.rendering.size import check_fixed_size
from graphdl.rendering.theme import Direction, ThemeName

__all__ = [
    "DPI",
    "Direction",
    "NodeFacts",
    "Reading",
    "ThemeName",
    "available",
    "check_fixed_size",
    "diagram",
    "mime_bundle",
    "render",
    "svg",
]
