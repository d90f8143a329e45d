"""B4: Xavier's initialization with a gain of 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphdl.data import disc
from graphdl.initializers import XavierNormal
from graphdl.operators import CrossEntropyLoss, ReLU
from graphdl.optim import SGD, Adam
from graphdl.systems.common import SEEDS, Draws, accuracies, curves, perceptron, train
from graphdl.systems.report import Report

EPOCHS = 100
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 3}
WEIGHTS = {"gain 6": XavierNormal(gain=6.0), "gain 1": XavierNormal(), "no Xavier": None}
OPTIMIZERS = {"SGD": SGD(lr=0.01), "Adam": Adam(lr=2e-3)}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train from each initialization with each optimizer, on other points for each seed."""
    draws = Draws.of(disc, seeds)
    sweeps = {
        f"{gain}, {name}": train(
            perceptron(ReLU(), ReLU(), ReLU(), loss=CrossEntropyLoss(), weight=weight),
            draws, draws.labels, optimizer=optimizer, seeds=seeds, epochs=epochs, batch_size=10,
        )
        for gain, weight in WEIGHTS.items()
        for name, optimizer in OPTIMIZERS.items()
    }  # fmt: skip
    return Report(
        "B4",
        "Xavier with a gain",
        f"2-25-25-25-2 with ReLU, cross-entropy, batches of 10, {epochs} epochs; SGD with lr = 0.01, Adam with lr = "
        "0.002. Without Xavier, weights are ~ Uniform(±1/sqrt(inputs)).",
        accuracies(sweeps),
        note="Published: no difference for three hidden layers.",
        pictures=[curves(Path(folder, "b4_xavier.png"), sweeps)],
    )
