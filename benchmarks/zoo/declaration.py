"""Declares a network node by node, by functions that add a node and return its key."""

from __future__ import annotations

from graphdl import Network, Operator, reads


class Declaration:
    """What each node computes and what it reads, so far."""

    def __init__(self) -> None:
        self.operators: dict[str, Operator] = {}
        self.reading: dict[str, list[str]] = {}

    def add(self, key: str, operator: Operator, *sources: str) -> str:
        """Add a node that reads these; return its key."""
        self.operators[key] = operator
        self.reading[key] = list(sources)
        return key

    def chain(self, source: str, *nodes: tuple[str, Operator]) -> str:
        """Add nodes one after another; return the last one's key."""
        for key, operator in nodes:
            source = self.add(key, operator, source)
        return source

    def network(self, seed: int = 0) -> Network:
        """The network of these nodes."""
        return Network(self.operators, reads(self.reading), seed=seed)
