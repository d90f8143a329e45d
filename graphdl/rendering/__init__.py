"""Diagrams of networks: a graph and facts about its nodes -> DOT -> SVG, PNG or PDF. It does not import torch."""

from graphdl.rendering.dot import diagram
from graphdl.rendering.drawing import DPI, available, render, svg
from graphdl.rendering.nodes import NodeFacts
from graphdl.rendering.notebook import Displayed, as_html, picture_of
from graphdl.rendering.readings import Reading
from graphdl.rendering.size import check_fixed_size
from graphdl.rendering.theme import Direction, ThemeName

__all__ = [
    "DPI",
    "Direction",
    "Displayed",
    "NodeFacts",
    "Reading",
    "ThemeName",
    "as_html",
    "available",
    "check_fixed_size",
    "diagram",
    "picture_of",
    "render",
    "svg",
]
