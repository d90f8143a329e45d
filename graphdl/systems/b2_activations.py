"""B2: three activations and two optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphdl.data import disc
from graphdl.initializers import XavierNormal
from graphdl.operators import CrossEntropyLoss, ReLU, Sigmoid, Tanh
from graphdl.optim import SGD, Adam, Cosine
from graphdl.systems.common import SEEDS, Draws, accuracies, curves, perceptron, train
from graphdl.systems.report import Report

EPOCHS = 100
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 3}
STEPS = 100
"""Batches of 10 in an epoch of 1000 points."""
ACTIVATIONS = {"ReLU": (ReLU(), 1.0), "Tanh": (Tanh(), 1.0), "Sigmoid": (Sigmoid(), 4.0)}
"""Each with the gain of its initial weights: the slope of a Sigmoid is 1/4 at 0."""


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train with each activation and optimizer, on other points for each seed."""
    draws, steps = Draws.of(disc, seeds), STEPS * epochs
    optimizers = {"SGD": SGD(lr=Cosine(0.1, steps=steps)), "Adam": Adam(lr=Cosine(0.005, steps=steps))}
    sweeps = {
        f"{act}, {name}": train(
            perceptron(*[activation] * 3, loss=CrossEntropyLoss(), weight=XavierNormal(gain)),
            draws, draws.labels, optimizer=optimizer, seeds=seeds, epochs=epochs, batch_size=10,
        )
        for act, (activation, gain) in ACTIVATIONS.items()
        for name, optimizer in optimizers.items()
    }  # fmt: skip
    return Report(
        "B2",
        "Activations",
        f"2-25-25-25-2, cross-entropy, batches of 10, {epochs} epochs; Xavier, with a gain of 4 for Sigmoid; SGD from "
        "lr = 0.1 and Adam from 0.005, both along a cosine to 0.",
        accuracies(sweeps, dict.fromkeys(sweeps, "97 to 98")),
        note="The published learning rates are not known.",
        pictures=[curves(Path(folder, "b2_activations.png"), sweeps)],
    )
