"""Pictures of networks: a graph and facts on its nodes -> DOT -> SVG, PNG or PDF. Knows no tensors."""

from graphdl.rendering.dot import diagram
from graphdl.rendering.drawing import available, mime_bundle, render, svg
from graphdl.rendering.nodes import NodeFacts
from graphdl.rendering.theme import ThemeName

__all__ = ["NodeFacts", "ThemeName", "available", "diagram", "mime_bundle", "render", "svg"]
