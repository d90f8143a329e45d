"""A4: four initializations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphdl.data import disc, one_hot
from graphdl.initializers import Initializer, Normal, TypeOne, XavierNormal
from graphdl.optim import SGD
from graphdl.systems.a1_optimizers import network
from graphdl.systems.common import Draws, accuracies, curves, train
from graphdl.systems.report import Report, Result

EPOCHS = 1000
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 5}
SEEDS = tuple(range(20))
INITIALIZERS: dict[str, Initializer] = {
    "type I": TypeOne(),
    "type II (Xavier)": XavierNormal(),
    "Normal(0, 1)": Normal(0, 1),
    "Normal, variance 0.01": Normal(0, 0.1),
    "Normal, deviation 0.01": Normal(0, 0.01),
}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train from each initialization, on the same points."""
    draws = Draws.of(disc, [0] * len(seeds))
    targets = one_hot(draws.labels, 2)
    sweeps = {
        name: train(network(weight), draws, targets, optimizer=SGD(lr=0.005), seeds=seeds, epochs=epochs)
        for name, weight in INITIALIZERS.items()
    }
    losses = {name: [history["loss"][-1] for history in sweep.histories] for name, sweep in sweeps.items()}
    return Report(
        "A4",
        "Initialization",
        f"The network of A1; SGD with eta = 0.005, batches of 50, {epochs} epochs, {len(seeds)} runs on the points of "
        "the seed 0.",
        [
            *(Result(f"{name}, training loss", None, values) for name, values in losses.items()),
            *accuracies(sweeps),
        ],
        note="Published: all reach the same loss but Normal(0, 1), and type I converges first. Whether 0.01 is a "
        "standard deviation or a variance is not clear: both were run.",
        pictures=[curves(Path(folder, "a4_initialization.png"), sweeps)],
    )
