"""Diagrams of networks: a graph and facts about its nodes -> DOT -> SVG, PNG or PDF. It does not import torch."""

from graphdl.rendering.dot import diagram
from graphdl.rendering.engine import available, render, svg
from graphdl.rendering.facts import Key, NodeFacts
from graphdl.rendering.theme import ThemeName

__all__ = ["Key", "NodeFacts", "ThemeName", "available", "diagram", "render", "svg"]
