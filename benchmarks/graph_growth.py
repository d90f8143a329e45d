"""Time for up to 100,000 nodes: building a graph, and a training step on it.

Building: networkx gets the finished adjacency, which it builds and sorts without checks. graphdl checks keys, slots and
arity, and sorts too; "whole Network" constructs the network. A chain is one operator after another;
"residual" is a sequence of operators and sums, each sum reading the operator before it and the sum before that.

A step: forward, backward and plain SGD on a chain of ReLU between a Linear layer and a loss, eight numbers wide,
against an nn.Sequential of the same layers in torch. graphdl's first step plans the passes and is listed separately.
"""

from __future__ import annotations

from collections.abc import Callable

import networkx
import torch
from torch import nn

from benchmarks import charts
from benchmarks.results import Result, Table
from benchmarks.timing import interleave, timed
from benchmarks.training import Step
from graphdl import Linear, MSELoss, Network, ReLU, Sum
from graphdl.graph import build_graph, normalise_connectivity, normalise_operators, topological_order
from graphdl.optim import SGD
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

Declaration = tuple[dict, dict]

SIZES = (1_000, 10_000, 100_000)
WIDTH = 8

CHARTS = {"graph_growth": charts.growth, "step_growth": charts.growth}


def run(quick: bool = False) -> Result:
    """Both growths."""
    rounds = 3 if quick else 5
    return Result("graph_growth", [building(rounds), *stepping(rounds)])


def building(rounds: int) -> Table:
    """Build and sort graphs of two forms."""
    table = Table("Building a graph", "ms", "networkx")
    makers: dict[str, Callable[[int], Declaration]] = {"chain": chain, "residual": residual}
    for name, make in makers.items():
        for n in SIZES:
            declaration = make(n)
            contestants = {
                "networkx": lambda d=declaration: with_networkx(d),
                "graphdl, checked": lambda d=declaration: with_graphdl(d),
                "graphdl, whole Network": lambda d=declaration: Network(*d, seed=0),
            }
            seconds = interleave(contestants, rounds=rounds, seconds=0.1)
            table.add(f"{name} of {n:,} nodes", seconds, 1e-3, at=n if name == "chain" else None)
    return table


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


def stepping(rounds: int) -> list[Table]:
    """Train on chains of growing length: the first step, which plans, and the following ones."""
    first = Table("The first training step on a chain", "ms", "graphdl")
    following = Table("A training step on a chain", "ms a step", "graphdl")
    x = torch.rand(1, WIDTH)
    for n in SIZES:
        contestants = {"graphdl": graphdl_chain(n, x), "torch eager": torch_chain(n, x)}
        group = f"{n:,} nodes"
        first.add(group, {name: [timed(call)] for name, call in contestants.items()}, 1e-3, at=n)
        following.add(group, interleave(contestants, rounds=rounds, seconds=0.2), 1e-3, at=n)
    return [following, first]


def graphdl_chain(n: int, x: torch.Tensor) -> Step:
    """The step of fit."""
    operators, connectivity = chain(n)
    operators |= {0: Linear(WIDTH, WIDTH), n - 1: MSELoss()}
    net = Network(operators, connectivity | {"target": [n - 1]}, seed=0)
    step = TrainingStep(net, SGD(lr=1e-3).bind(net), Scorer(net, ()))

    @torch.inference_mode()
    def call() -> float:
        return step({-1: x, "target": x}).loss

    return call


def torch_chain(n: int, x: torch.Tensor) -> Step:
    """autograd and torch.optim.SGD."""
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), *(nn.ReLU() for _ in range(n - 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def call() -> float:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return call
