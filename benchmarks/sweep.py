"""Many networks at once: 120 perceptrons 2-25-25-25-2 with different learning rates, and a search of architectures.

The perceptrons are those of `step`: 1000 points, batch 50, Adam, a new permutation of the points in every epoch, and
a learning rate for each. A figure is the time of 50 epochs of all members divided by their steps. Networks exist
before, and each time they are trained further. graphdl's time includes the preparation and the verification of every
member; its library is in the cache. torch.nn trains one member after another; one of them is timed. JAX maps its step
over all members with vmap and scans over the steps of an epoch; its compilation is not counted. With data in the same
order, the losses of JAX's members are checked to agree with graphdl's.

The search trains 30 architectures, 1 to 6 hidden layers of 8 to 64, from 4 seeds each, for 100 epochs on two threads
with an empty cache: compilation is included. torch.nn's time is that of 3 epochs of each architecture, times 100 / 3
and times the 4 seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from benchmarks import charts
from benchmarks.environment import ROOT
from benchmarks.peers.with_jax import jax_members
from benchmarks.peers.with_torch import torch_default
from benchmarks.perceptron import BATCH, ROWS, STEPS, network, problem
from benchmarks.results import Result, Table
from benchmarks.timing import assemble, interleave, timed
from graphdl import Linear, MSELoss, Network, ReLU
from graphdl.optim import Adam
from graphdl.search import Sweep, fit_all

MEMBERS, EPOCHS = 120, 50
DEPTHS, WIDTHS, SEEDS, SEARCH_EPOCHS, TIMED_EPOCHS = range(1, 7), (8, 16, 32, 48, 64), 4, 100, 3
ONE_BY_ONE, TWO = "torch.nn, one by one", "graphdl fit_all, two threads"
TOLERANCE = 1e-4

CHARTS = {"sweep": charts.bars}


def run(quick: bool = False) -> Result:
    """Check that JAX's members train alike, then measure."""
    skipped: dict[str, str] = {}
    epochs = 5 if quick else EPOCHS
    makers: dict[str, Callable[[], Callable[[], object]]] = {
        ONE_BY_ONE: lambda: _one_by_one,
        "graphdl fit_all, one thread": lambda: partial(_train, _members(), 1, epochs),
        TWO: lambda: partial(_train, _members(), 2, epochs),
        "JAX, vmap over members, scan over steps": lambda: _jax(epochs),
    }
    seconds = interleave(assemble(makers, skipped), rounds=1 if quick else 5, seconds=0.1)
    steps = {name: STEPS * (1 if name == ONE_BY_ONE else MEMBERS * epochs) for name in seconds}
    table = Table(f"{MEMBERS} members", "µs a member and step", ONE_BY_ONE)
    table.add("", {name: [each / steps[name] for each in found] for name, found in seconds.items()}, 1e-6)
    searched = Table("A search of 30 architectures, 4 seeds each", "s", ONE_BY_ONE)
    searched.add("", {ONE_BY_ONE: [_torch_search(1 if quick else TIMED_EPOCHS)], TWO: [_search(quick)]})
    return Result("sweep", [table, searched], skipped, [] if skipped else [_check()])


def rates() -> list[float]:
    """The learning rate of each member."""
    return [1e-4 * 100 ** (k / (MEMBERS - 1)) for k in range(MEMBERS)]


def _members() -> list[Network]:
    return [network() for _ in range(MEMBERS)]


def _train(members: Sequence[Network], threads: int, epochs: int, shuffle: bool = True) -> Sweep:
    given, optimizers = problem(), [Adam(lr=rate) for rate in rates()]
    return fit_all(
        members, {"x": given.x, "target": given.y}, optimizers=optimizers, epochs=epochs,
        batch_size=BATCH, seeds=list(range(MEMBERS)), threads=threads, shuffle=shuffle, progress=False,
        backend="compiled",
    )  # fmt: skip


def _one_by_one() -> object:
    return _trained_by_torch(1)


_trained_by_torch = torch_default(problem())


def _jax(epochs: int) -> Callable[[], object]:
    train = jax_members(problem(), rates())
    return lambda: train(epochs)


def _check(epochs: int = 3) -> str:
    """Train without permutations, and compare the mean losses of all members and epochs."""
    ours = [history["loss"] for history in _train(_members(), 1, epochs, shuffle=False).histories]
    theirs = jax_members(problem(shuffle=False), rates())(epochs)
    worst = max(abs(a - b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
    if worst > TOLERANCE:
        raise ValueError(f"the losses of members differ by {worst:.1e}")
    return f"Over {epochs} epochs in the same order, the losses of JAX's members differ by at most {worst:.1e}."


# The search


def widths_of() -> list[list[int]]:
    """The widths of all layers of each architecture."""
    return [[2, *[width] * depth, 2] for depth in DEPTHS for width in WIDTHS]


def architecture(widths: Sequence[int], seed: int) -> Network:
    """Linear layers with ReLU between them, and MSE."""
    operators: dict[str, Any] = {}
    for k, (i, o) in enumerate(pairwise(widths), 1):
        operators |= {f"fc{k}": Linear(i, o), f"relu{k}": ReLU()}
    operators.pop(f"relu{len(widths) - 1}")
    keys = ["x", *operators, "loss"]
    connectivity = {a: [b] for a, b in pairwise(keys)} | {"target": ["loss"]}
    return Network(operators | {"loss": MSELoss()}, connectivity, seed=seed)


def search(epochs: int) -> float:
    """The seconds of the whole search, compilation included."""
    given = problem()
    data = {"x": given.x, "target": given.y}
    start = time.perf_counter()
    nets = [architecture(widths, seed) for widths in widths_of() for seed in range(SEEDS)]
    fit_all(nets, data, optimizers=Adam(lr=1e-3), epochs=epochs, batch_size=BATCH, threads=2, progress=False)
    return time.perf_counter() - start


def _search(quick: bool) -> float:
    """The search in a process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        program = f"from benchmarks.sweep import search; print(search({2 if quick else SEARCH_EPOCHS}))"
        environment = {**os.environ, "GRAPHDL_CACHE": cache}
        found = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return float(found.stdout)


def _torch_search(epochs: int) -> float:
    """The seconds that torch.nn would take for all members, from some epochs of each architecture."""
    total = 0.0
    for widths in widths_of():
        train = _torch_training(widths)
        train(1)
        total += timed(lambda train=train: train(epochs)) / epochs  # type: ignore[misc]
    return total * SEARCH_EPOCHS * SEEDS


def _torch_training(widths: Sequence[int]) -> Callable[[int], None]:
    layers = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
    model, loss_of, given = nn.Sequential(*layers[:-1]), nn.MSELoss(), problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            order = torch.randperm(ROWS)
            for x, y in zip(given.x[order].split(BATCH), given.y[order].split(BATCH), strict=True):
                optimizer.zero_grad()
                loss = loss_of(model(x), y)
                loss.backward()
                optimizer.step()
                loss.item()

    return train
