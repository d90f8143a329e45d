"""The table of a network: node, operator, what it reads, output shape, parameters; and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from graphdl.errors import counted
from graphdl.graph import Key, enclosing
from graphdl.rendering import NodeFacts
from graphdl.shown import shown
from graphdl.tables import Columns, TextTable, text_table

if TYPE_CHECKING:
    from graphdl.graph.build import Graph

MOST_SOURCES = 20
COLUMNS: Columns = {
    "node": "left",
    "operator": "left",
    "reads": "left",
    "output shape": "left",
    "parameters": "right",
    "trainable": "left",
}


def summary_table(graph: Graph, order: tuple[Key, ...], facts: Mapping[Key, NodeFacts]) -> TextTable:
    """The table as text, in topological order, then the totals of the blocks and of the network.

    In a shape, n is the batch axis; "?" is a shape not yet known.
    """
    rows = []
    for key in order:
        fact = facts[key]
        operator = f"{fact.operator} {fact.settings}".strip() or "input"
        rows.append((shown(key), operator, _reads(graph, key), _shape(fact), _parameters(fact), _trainable(fact)))
    total = sum(fact.parameters for fact in facts.values() if fact.shares is None)
    frozen = sum(fact.parameters for fact in facts.values() if fact.shares is None and fact.frozen)
    operators = sum(fact.kind != "input" for fact in facts.values())
    whole = f"{counted(operators, 'operator')}, {counted(total, 'parameter')}, {total - frozen:,} trainable"
    return text_table(COLUMNS, rows, notes=[*_block_totals(graph, facts), whole])


def _block_totals(graph: Graph, facts: Mapping[Key, NodeFacts]) -> Iterator[str]:
    """A line for each block, with its operators and its own parameters; those within a block are indented."""
    operators: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    for key in graph if graph.graph["blocks"] else ():
        for name in enclosing(key):
            operators[name] += facts[key].kind != "input"
            parameters[name] += facts[key].own_parameters
    for name in map(str, graph.graph["blocks"]):
        indent = "  " * sum(outer in operators for outer in enclosing(name))
        yield f"{indent}{shown(name)}: {counted(operators[name], 'operator')}, {counted(parameters[name], 'parameter')}"


def _reads(graph: Graph, key: Key) -> str:
    """The sources in the order of the slots, with the slot's name if there are several, and the gradient policy."""
    node = graph.nodes[key]
    names = (node["operator"].slots or ()) if node["reads"] > 1 else ()
    sources = {slot: f"input {shown(name)} (not fed)" for slot, name in node["implicit"].items()}
    for source, _, edge in graph.in_edges(key, data=True):
        factor = edge["gradient"]
        policy = "" if factor == 1 else " (gradient stopped)" if factor == 0 else f" (gradient × {factor:g})"
        sources[edge["slot"]] = f"{shown(source)}{policy}"
    texts = [f"{names[slot]}: {sources[slot]}" if names else sources[slot] for slot in sorted(sources)]
    if len(texts) > MOST_SOURCES:
        texts[MOST_SOURCES - 1 :] = [f"… {len(texts) - MOST_SOURCES + 1:,} more"]
    return ", ".join(texts)


def _shape(fact: NodeFacts) -> str:
    if fact.shapes:
        return " ".join(_axes(shape, fact.batched) for shape in fact.shapes)
    if fact.shape is None:
        return "?"
    return _axes(fact.shape, fact.batched and (fact.kind != "loss" or fact.shape != ()))


def _axes(shape: tuple[int, ...], batched: bool) -> str:
    return f"({', '.join(map(str, ('n', *shape) if batched else shape))})"


def _parameters(fact: NodeFacts) -> str:
    if fact.shares is not None:
        return f"= {shown(fact.shares)}"
    return f"{fact.parameters:,}" if fact.parameters else ""


def _trainable(fact: NodeFacts) -> str:
    if fact.frozen:
        return "frozen"
    return "yes" if fact.parameters else ""
