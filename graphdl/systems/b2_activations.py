"""B2: three activations and two optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphdl.data import disc
from graphdl.initializers import XavierNormal
from graphdl.operators import CrossEntropyLoss, ReLU, Sigmoid, Tanh
from graphdl.optim import SGD, Adam
from graphdl.systems.common import SEEDS, Draws, accuracies, curves, perceptron, train
from graphdl.systems.report import Report

EPOCHS = 100
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 3}
OPTIMIZERS = {"SGD": SGD(lr=0.1), "Adam": Adam(lr=2e-3)}
ACTIVATIONS = {"ReLU": ReLU(), "Tanh": Tanh(), "Sigmoid": Sigmoid()}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train with each activation and optimizer, on other points for each seed."""
    draws = Draws.of(disc, seeds)
    sweeps = {
        f"{act}, {name}": train(
            perceptron(*[activation] * 3, loss=CrossEntropyLoss(), weight=XavierNormal()),
            draws, draws.labels, optimizer=optimizer, seeds=seeds, epochs=epochs, batch_size=10,
        )
        for act, activation in ACTIVATIONS.items()
        for name, optimizer in OPTIMIZERS.items()
    }  # fmt: skip
    return Report(
        "B2",
        "Activations",
        f"2-25-25-25-2, Xavier, cross-entropy, batches of 10, {epochs} epochs; SGD with lr = 0.1, Adam with lr = "
        "0.002.",
        accuracies(sweeps, dict.fromkeys(sweeps, "97 to 98")),
        pictures=[curves(Path(folder, "b2_activations.png"), sweeps)],
    )
