"""The two dictionaries -> one checked networkx graph.

Attributes of nodes and edges:

    node  kind      "input" or "operator"
          operator  the operator, which is the owner's for a Shared; None for an input
          owner     the node whose parameters it uses: the node itself, unless it is Shared
          implicit  {slot: name} of the inputs that feed it and have no node
          absent    the optional slots that nothing feeds
          reads     how many slots it has
    edge  slot, slot_name, gradient

The graph's attribute `blocks` is {the key of a block: its output nodes}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import networkx

from graphdl.errors import ArityError
from graphdl.graph.block import Block
from graphdl.graph.declaration import Feed, Key, Shared
from graphdl.graph.declared import owners_by_key
from graphdl.graph.flattening import flatten
from graphdl.graph.order import refuse_cycle
from graphdl.graph.wiring import Computes, assign_slots, nodes_that_train, unfed_slots

if TYPE_CHECKING:
    Graph: TypeAlias = networkx.MultiDiGraph[Key]


O = TypeVar("O", bound=Computes)  # noqa: E741
Declared: TypeAlias = Mapping[Key, Computes | Shared | Block]
Operators: TypeAlias = Mapping[Key, O | Shared | Block | Sequence[O | Shared | Block]]
Connectivity: TypeAlias = Mapping[Key, Sequence[Key | Feed]]


def build_graph(operators: Declared, connectivity: Mapping[Key, tuple[Feed, ...]]) -> Graph:
    """Build the graph of two normalised dictionaries, which is frozen; linear in nodes and edges.

    Errors: UnknownNodeError, ArityError, DuplicateSlotError, UnreachableError, SettingError for the names of nodes in
    blocks, and CycleError for Shared and for blocks that pass on inputs.
    """
    flat = flatten(operators, connectivity)
    owners = owners_by_key(flat.operators, inside=lambda key: False)
    graph: Graph = networkx.MultiDiGraph(blocks=flat.blocks)
    graph.add_nodes_from(
        (key, {"kind": "input", "operator": None, "owner": key, "implicit": {}, "absent": (), "reads": 0})
        for key in flat.inputs
    )
    graph.add_nodes_from(flat.operators)  # before any edge, to keep the order in which nodes are declared
    taken: set[Key] = {*flat.operators, *flat.inputs}
    computing = {owner: cast("Computes", flat.operators[owner]) for owner in owners.values()}  # an owner is not Shared
    trained = cache(lambda: nodes_that_train(computing, flat.outgoing(), owners))
    for key, owner in owners.items():
        operator, edges = computing[owner], flat.incoming[key]
        try:
            slots = assign_slots(key, operator, edges, trained)
        except ArityError:  # often because of an edge that closes a cycle
            refuse_cycle((source, fed) for fed, found in flat.incoming.items() for source, _ in found)
            raise
        names = operator.slots
        implicit, absent = unfed_slots(key, names, slots, taken)
        width = len(slots) + len(implicit) + len(absent)
        node = {"operator": operator, "owner": owner, "implicit": implicit, "absent": absent, "reads": width}
        graph.add_node(key, kind="operator", **node)
        for slot, (source, feed) in zip(slots, edges, strict=True):
            name = names[slot] if names is not None and width > 1 else None
            graph.add_edge(source, key, slot=slot, slot_name=name, gradient=feed.gradient)
    networkx.freeze(graph)
    return graph
