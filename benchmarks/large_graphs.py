"""Large and dense graphs, and long names: building, printing and drawing them, and the errors about them.

A chain of 100,000 ReLU; 400 sums, each of which feeds all later ones; 20,000 equal blocks of five operators in a row,
which a picture folds into one; a node whose name has 16,384 characters, and one whose name has 8,000 slashes. "diagram"
writes the DOT source or refuses: a picture has at most 2,000 nodes, the source of one 10,000. "wrong name" is an error
with a suggestion, "cycle" the error for a graph whose last node feeds its first. Each is measured once,
before any pass: after one, summary and diagram infer the shapes of all nodes too, which takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from benchmarks.results import Result, Table
from benchmarks.timing import timed
from graphdl import Network, ReLU, Sum
from graphdl.errors import GraphDLError

CHARTS: dict[str, object] = {}

Declaration = tuple[dict, dict]


def run(quick: bool = False) -> Result:
    """All graphs."""
    table = Table("Large graphs and long names", "s", "graphdl")
    scale = 10 if quick else 1
    graphs = {
        "chain of 100,000": chain([f"n{i}" for i in range(100_000 // scale)]),
        "400 dense sums": dense(400 // scale),
        "20,000 blocks of 5": chain([f"block{i // 5}/n{i % 5}" for i in range(100_000 // scale)]),
        "16 kB name": chain(["ab" * 8192]),
        "8,000 slashes": chain(["/".join("a" * 8001)]),
    }
    for name, declaration in graphs.items():
        for what, seconds in measured(*declaration).items():
            table.add(f"{name}: {what}", {"graphdl": [seconds]})
    return Result("large_graphs", [table], {}, [])


def measured(operators: dict, connectivity: dict) -> dict[str, float]:
    """What is done -> seconds."""
    net = Network(operators, connectivity, seed=0)
    first, last = next(iter(operators)), next(reversed(operators))
    ring = {key: fed for key, fed in connectivity.items() if key != "x"} | {last: [first]}
    calls: dict[str, Callable[[], object]] = {
        "Network": lambda: Network(operators, connectivity, seed=0),
        "summary": net.summary,
        "diagram": lambda: net.diagram().source,
        "wrong name": lambda: net.freeze(f"{last}?"),
        "cycle": lambda: Network(operators, ring),
    }
    return {what: timed(lambda call=call: attempt(call)) for what, call in calls.items()}


def attempt(call: Callable[[], object]) -> None:
    """Call what may be refused."""
    with suppress(GraphDLError):
        call()


def chain(names: list[str]) -> Declaration:
    """One operator after another."""
    relu = ReLU()
    return dict.fromkeys(names, relu), {a: [b] for a, b in zip(["x", *names], names, strict=False)}


def dense(n: int) -> Declaration:
    """Sums, each of which feeds all later ones."""
    names = [f"sum{i}" for i in range(n)]
    return dict.fromkeys(names, Sum()), {name: names[i:] for i, name in enumerate(["x", *names[:-1]])}
