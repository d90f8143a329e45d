"""Folding: consecutive equal clusters are drawn once, with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import networkx

from graphdl.rendering.nodes import FactsOf, Graph, Namespace, Node, namespace

__all__ = ["LEAST_REPEATS", "Folded", "fold"]

LEAST_REPEATS = 3

Wire: TypeAlias = tuple[Any, ...]
Link: TypeAlias = Counter[tuple[str, str, Wire]]


@dataclass(frozen=True)
class Folded:
    """A graph in which the first cluster represents each run, with the length and the last cluster of each run."""

    graph: Graph
    repeats: Mapping[Namespace, int]
    last: Mapping[Namespace, Namespace]


@dataclass(frozen=True)
class Cluster:
    """The nodes in one namespace and those within it, in a form that is compared with sibling clusters."""

    path: Namespace
    names: Mapping[str, str]
    content: frozenset[Hashable]
    inner: Link
    entries: tuple[tuple[Node, str, Wire], ...]
    exits: frozenset[Node]

    def pattern(self) -> Counter[Hashable]:
        """Return where the edges of each feeding node lead, without the names of these nodes."""
        heads: dict[Node, list[tuple[str, Wire]]] = {}
        for tail, name, wire in self.entries:
            heads.setdefault(tail, []).append((name, wire))
        return Counter(frozenset(Counter(ends).items()) for ends in heads.values())


def fold(graph: Graph, facts: FactsOf) -> Folded:
    """Return the graph with runs of at least LEAST_REPEATS equal consecutive sibling clusters folded.

    Clusters are equal if the names, facts and edges within them are, and if each feeds only the next cluster, in the
    same way. A node outside may feed all clusters in the same way, such as a mask or the output of an encoder. Nothing
    is folded if folding would create a cycle.
    """
    folded = graph.copy()
    repeats: dict[Namespace, int] = {}
    last: dict[Namespace, Namespace] = {}
    depth, nodes = 1, [node for node in networkx.topological_sort(folded) if namespace(node)]
    while nodes:
        for run in _runs(_clusters(folded, facts, nodes, depth)):
            repeats[run[0].path], last[run[0].path] = len(run), run[-1].path
            _collapse(folded, run)
        depth += 1
        nodes = [node for node in nodes if node in folded and len(namespace(node)) >= depth]
    if not networkx.is_directed_acyclic_graph(folded):
        return Folded(graph, {}, {})
    return Folded(folded, repeats, last)


def _clusters(graph: Graph, facts: FactsOf, nodes: Iterable[Node], depth: int) -> list[Cluster]:
    members: dict[Namespace, list[str]] = {}
    for node in nodes:
        members.setdefault(namespace(node)[:depth], []).append(str(node))
    return [
        _cluster(graph, facts, path, keys)
        for path, keys in members.items()
        if all(facts[key].kind == "operator" for key in keys)
    ]


def _cluster(graph: Graph, facts: FactsOf, path: Namespace, keys: list[str]) -> Cluster:
    cut = sum(map(len, path)) + len(path)
    names = {key: key[cut:] for key in keys}
    inner: Link = Counter()
    entries = []
    for u, v, edge in graph.in_edges(keys, data=True):
        wire = (edge.get("slot"), edge.get("slot_name"), edge.get("gradient", 1.0))
        if u in names:
            inner[names[u], names[v], wire] += 1
        else:
            entries.append((u, names[v], wire))
    exits = frozenset(v for _, v in graph.out_edges(keys) if v not in names)
    return Cluster(path, names, _content(facts, names), inner, tuple(entries), exits)


def _content(facts: FactsOf, names: Mapping[str, str]) -> frozenset[Hashable]:
    content: list[Hashable] = []
    for key, name in names.items():
        shared = facts[key].shares
        within = shared in names
        owner = names[str(shared)] if within else shared
        content.append((name, replace(facts[key], shares=None), within, owner))
    return frozenset(content)


def _runs(clusters: list[Cluster]) -> list[list[Cluster]]:
    successors = _successors(clusters)
    starts = {cluster.path for cluster in clusters} - {after.path for after, _ in successors.values()}
    runs: list[list[Cluster]] = []
    for cluster in clusters:
        if cluster.path not in starts:
            continue
        runs.append([cluster])
        run_link: Link | None = None
        while runs[-1][-1].path in successors:
            after, link = successors[runs[-1][-1].path]
            if run_link is not None and run_link != link:
                runs.append([])
            runs[-1].append(after)
            run_link = link if len(runs[-1]) > 1 else None
    return [run for run in runs if len(run) >= LEAST_REPEATS and not _returns(run)]


def _returns(run: list[Cluster]) -> bool:
    return any(node in cluster.names for node in run[-1].exits for cluster in run)


def _successors(clusters: list[Cluster]) -> dict[Namespace, tuple[Cluster, Link]]:
    owner: dict[Node, Cluster] = {key: cluster for cluster in clusters for key in cluster.names}
    successors = {}
    for cluster in clusters:
        after = next((owner.get(node) for node in cluster.exits), None)
        link = _link(cluster, after) if after else None
        if after and link:
            successors[cluster.path] = after, link
    return successors


def _link(before: Cluster, cluster: Cluster) -> Link | None:
    """Return the edges between two clusters if the second repeats the first, else None."""
    alike = (
        before.path[:-1] == cluster.path[:-1]
        and before.exits <= cluster.names.keys()
        and before.content == cluster.content
        and before.inner == cluster.inner
        and before.pattern() == cluster.pattern()
    )
    if not alike:
        return None
    common = Counter(before.entries)
    link: Link = Counter()
    for tail, name, wire in cluster.entries:
        if tail in before.names:
            link[before.names[str(tail)], name, wire] += 1
        elif common[tail, name, wire]:
            common[tail, name, wire] -= 1
        else:
            return None
    return link


def _collapse(graph: Graph, run: list[Cluster]) -> None:
    first, last = run[0], run[-1]
    key_of = {name: key for key, name in first.names.items()}
    leaving = [
        (key_of[last.names[u]], v, edge) for u, v, edge in graph.out_edges(last.names, data=True) if v not in last.names
    ]
    graph.remove_nodes_from([key for cluster in run[1:] for key in cluster.names])
    graph.add_edges_from(leaving)
