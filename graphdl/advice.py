"""Warnings of declarations that are allowed and are probably mistakes."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from graphdl.errors import GraphDLWarning, level_outside, listing
from graphdl.graph import Block, Key, sources_by_role
from graphdl.operators import (
    BCELoss,
    BCEWithLogitsLoss,
    Conv1d,
    Conv2d,
    CrossEntropyLoss,
    KLDivLoss,
    Linear,
    LogSoftmax,
    Loss,
    MultiLabelSoftMarginLoss,
    NLLLoss,
    Operator,
    Sigmoid,
    Softmax,
    Softmax2d,
)

if TYPE_CHECKING:
    from graphdl.graph.build import Graph

ANY, PROBABILITIES, LOGARITHMS = "any numbers", "probabilities", "logarithms of probabilities"

GIVEN: dict[type, str] = {
    Linear: ANY,
    Conv1d: ANY,
    Conv2d: ANY,
    Sigmoid: PROBABILITIES,
    Softmax: PROBABILITIES,
    Softmax2d: PROBABILITIES,
    LogSoftmax: LOGARITHMS,
}
"""What an operator before a loss returns."""

TAKEN: dict[type, tuple[tuple[str, ...], str]] = {
    CrossEntropyLoss: ((ANY, LOGARITHMS), "It contains a softmax: remove {0}, or use it for predictions only."),
    BCEWithLogitsLoss: ((ANY,), "It contains a sigmoid: remove {0}, or use BCELoss."),
    MultiLabelSoftMarginLoss: ((ANY,), "It contains a sigmoid: remove {0}."),
    NLLLoss: ((LOGARITHMS,), "Put LogSoftmax(1) before it, or use CrossEntropyLoss on logits."),
    KLDivLoss: ((LOGARITHMS,), "Put LogSoftmax(1) before it."),
    BCELoss: ((PROBABILITIES,), "Put Sigmoid() before it, or use BCEWithLogitsLoss."),
}
"""What a loss takes as its prediction, and what to do about something else."""

MOST_COMPARED = 50
"""The number of nodes that feed nothing up to which inputs are compared with their names."""


def warn_of_declarations(operators: Mapping[Key, Any], graph: Graph, losses: tuple[Key, ...]) -> None:
    """Issue a GraphDLWarning for each probable mistake in the two dictionaries of a network."""
    for text in (*_used_twice(operators), *_predictions(graph, losses), *_misspelt(graph, losses)):
        warnings.warn(text, GraphDLWarning, stacklevel=level_outside())


def _used_twice(operators: Mapping[Key, Any]) -> Iterator[str]:
    """The same operator object at several nodes of a level: parameters are not shared by that, unlike modules."""
    nodes: dict[int, list[Key]] = {}
    for key, operator in operators.items():
        if isinstance(operator, Block):
            yield from _used_twice(operator.operators)
        elif isinstance(operator, Operator):
            nodes.setdefault(id(operator), []).append(key)
    for keys in nodes.values():
        if len(keys) > 1 and operators[keys[0]].trains:
            kind, first = type(operators[keys[0]]).__name__, keys[0]
            yield (
                f"{listing(keys)} hold the same {kind} object, and each has its own parameters. If they are to share "
                f"them, write Shared({first!r}) for {listing(map(repr, keys[1:]))}; otherwise {kind}(...) for each."
            )


def _misspelt(graph: Graph, losses: tuple[Key, ...]) -> Iterator[str]:
    """Inputs whose names are almost those of nodes that feed nothing."""
    ends = [key for key, node in graph.nodes(data=True) if node["operator"] is not None and not graph.succ[key]]
    names = [str(key) for key in ends if key not in losses]
    if len(names) > MOST_COMPARED:  # to compare them all takes quadratic time
        return
    for key, node in graph.nodes(data=True) if losses and names else ():
        if node["operator"] is not None or len(str(key)) < 4:
            continue
        close = difflib.get_close_matches(str(key), names, n=1, cutoff=0.75)
        if close and _letters(close[0]) != _letters(str(key)):  # names that are numbered are alike
            yield (
                f"{key!r} is a key of connectivity and not an operator, so it is an input, and the node {close[0]!r} "
                f"feeds nothing. If {close[0]!r} is meant, correct the key."
            )


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name))


def _predictions(graph: Graph, losses: tuple[Key, ...]) -> Iterator[str]:
    """Predictions that are not what their loss takes, such as those of Softmax before CrossEntropyLoss."""
    for key in losses:
        loss: Loss = graph.nodes[key]["operator"]
        if type(loss) not in TAKEN:
            continue
        taken, remedy = TAKEN[type(loss)]
        for source in sources_by_role(graph, key, "prediction"):
            operator = graph.nodes[source]["operator"] if source in graph else None
            given = GIVEN.get(type(operator))
            if given is not None and given not in taken:
                kind = type(operator).__name__
                yield (
                    f"{key} ({type(loss).__name__}) expects {' or '.join(taken)} as its prediction, and {source} "
                    f"({kind}) returns {given}. {remedy.format(source)}"
                )
