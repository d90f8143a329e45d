"""Diagrams of networks: a graph and facts about its nodes -> DOT -> SVG, PNG or PDF. It does not import torch."""

from graphdl.rendering.dot import diagram
from graphdl.rendering.drawing import available, render, svg
from graphdl.rendering.nodes import NodeFacts
from graphdl.rendering.notebook import Displayed
from graphdl.rendering.theme import ThemeName

__all__ = ["Displayed", "NodeFacts", "ThemeName", "available", "diagram", "render", "svg"]
