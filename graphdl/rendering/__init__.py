"""Pictures of networks: a graph and facts on its nodes -> DOT -> SVG, PNG or PDF. Knows no tensors."""

from graphdl.rendering.dot import diagram
from graphdl.rendering.engine import available, render, svg
from graphdl.rendering.facts import Key, NodeFacts
from graphdl.rendering.theme import ThemeName

__all__ = ["Key", "NodeFacts", "ThemeName", "available", "diagram", "render", "svg"]
