"""The two dictionaries as a checked networkx graph. This package does not import torch."""

from graphdl.graph.build import (
    Connectivity,
    Operators,
    build_graph,
    normalise_connectivity,
    normalise_operators,
)
from graphdl.graph.declaration import Feed, Key, Shared, reads
from graphdl.graph.naming import check_recompute, known_keys, owners_of
from graphdl.graph.order import ancestors, inputs_of, topological_order, without_inputs
from graphdl.graph.parts import cut_part
from graphdl.graph.reading import input_kinds, predictions_of, sources, sources_by_role

__all__ = [
    "Connectivity",
    "Feed",
    "Key",
    "Operators",
    "Shared",
    "ancestors",
    "build_graph",
    "check_recompute",
    "cut_part",
    "input_kinds",
    "inputs_of",
    "known_keys",
    "normalise_connectivity",
    "normalise_operators",
    "owners_of",
    "predictions_of",
    "reads",
    "sources",
    "sources_by_role",
    "topological_order",
    "without_inputs",
]
