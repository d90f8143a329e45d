"""How building a graph grows with its nodes, against networkx building and sorting the same graph.

    python -m benchmarks.graph_growth

networkx is given the finished adjacency, and checks nothing. graphdl checks keys, slots and arity, and sorts too. The
last column is a whole Network.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator

import networkx

from benchmarks.timing import interleave, machine
from graphdl import Network, ReLU, Sum
from graphdl.graph import build_graph, normalise_connectivity, normalise_operators, topological_order

Declaration = tuple[dict, dict]


def chain(n: int) -> Declaration:
    """One operator after another."""
    relu = ReLU()
    return dict.fromkeys(range(n), relu), {k: [k + 1] for k in range(-1, n - 1)}


def residual(n: int) -> Declaration:
    """Operators and sums in turn, each sum reading the operator before it and the sum before that."""
    relu, add = ReLU(), Sum()
    operators = {k: add if k % 2 else relu for k in range(n)}
    connectivity: dict[int, list[int]] = {k: [k + 1] for k in range(-1, n - 1)}
    for k in range(-1, n - 2, 2):
        connectivity[k].append(k + 2)
    return operators, connectivity


def with_networkx(declaration: Declaration) -> None:
    """Build and sort."""
    graph = networkx.MultiDiGraph(declaration[1])
    list(networkx.topological_sort(graph))


def with_graphdl(declaration: Declaration) -> None:
    """Check, build and sort."""
    operators, connectivity = normalise_operators(declaration[0]), normalise_connectivity(declaration[1])
    topological_order(build_graph(operators, connectivity))


def whole_network(declaration: Declaration) -> None:
    """Construct the network."""
    Network(*declaration, seed=0)


def rows() -> Iterator[str]:
    """A line a graph."""
    makers: dict[str, Callable[[int], Declaration]] = {"chain": chain, "residual": residual}
    for name, make in makers.items():
        for n in (1_000, 10_000, 100_000):
            declaration = make(n)
            gc.collect()
            seconds = interleave(
                {
                    "networkx": lambda d=declaration: with_networkx(d),
                    "graphdl": lambda d=declaration: with_graphdl(d),
                    "network": lambda d=declaration: whole_network(d),
                },
                rounds=5,
                repeats=max(1, 10_000 // n),
            )
            base, ours, whole = (statistics.median(seconds[key]) for key in ("networkx", "graphdl", "network"))
            yield (
                f"{name:9} {n:7,} nodes   networkx {base * 1e3:7.1f} ms   "
                f"graph {ours * 1e3:7.1f} ms {ours / base:5.2f}x   Network {whole * 1e3:7.1f} ms {whole / base:5.2f}x"
            )


def main() -> None:
    print(machine())
    for row in rows():
        print(row, flush=True)


if __name__ == "__main__":
    main()
