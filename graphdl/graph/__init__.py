"""The two dictionaries as a checked networkx graph. This package does not import torch."""

from graphdl.graph.block import Block, not_an_operator
from graphdl.graph.build import Connectivity, Operators, build_graph
from graphdl.graph.declaration import Feed, Key, Shared, enclosing, reads
from graphdl.graph.declared import normalise_connectivity, normalise_operators
from graphdl.graph.flattening import with_sizes
from graphdl.graph.naming import check_recompute, known_keys, known_values, output_of, owners_of
from graphdl.graph.order import ancestors, inputs_of, topological_order, without_inputs
from graphdl.graph.parts import cut_part
from graphdl.graph.reading import computed_with, input_kinds, predictions_of, sources, sources_by_role
from graphdl.graph.wiring import passes_gradient

__all__ = [
    "Block",
    "Connectivity",
    "Feed",
    "Key",
    "Operators",
    "Shared",
    "ancestors",
    "build_graph",
    "check_recompute",
    "computed_with",
    "cut_part",
    "enclosing",
    "input_kinds",
    "inputs_of",
    "known_keys",
    "known_values",
    "normalise_connectivity",
    "normalise_operators",
    "not_an_operator",
    "output_of",
    "owners_of",
    "passes_gradient",
    "predictions_of",
    "reads",
    "sources",
    "sources_by_role",
    "topological_order",
    "with_sizes",
    "without_inputs",
]
