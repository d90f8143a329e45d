"""The two dictionaries as a checked networkx graph. This package does not import torch."""

from graphdl.graph.build import (
    Connectivity,
    Operators,
    build_graph,
    normalise_connectivity,
    normalise_operators,
)
from graphdl.graph.declaration import Feed, Key, Shared, reads
from graphdl.graph.order import ancestors, inputs_of, topological_order
from graphdl.graph.reading import input_kinds, sources, sources_by_role

__all__ = [
    "Connectivity",
    "Feed",
    "Key",
    "Operators",
    "Shared",
    "ancestors",
    "build_graph",
    "input_kinds",
    "inputs_of",
    "normalise_connectivity",
    "normalise_operators",
    "reads",
    "sources",
    "sources_by_role",
    "topological_order",
]
