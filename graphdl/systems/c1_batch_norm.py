"""C1: a perceptron with batch normalization."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from graphdl.data import disc
from graphdl.operators import BatchNorm1d, Linear, MSELoss, ReLU
from graphdl.optim import SGD
from graphdl.systems.common import SEEDS, Declaration, Draws, accuracies, chain, curves, regions, train
from graphdl.systems.report import Report

EPOCHS = 1000
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 16}
STEPS = 16
"""Batches of 64 in an epoch of 1000 points."""


def network() -> Declaration:
    """2-100-50-20-1, with batch normalization and ReLU after the first three Linear operators."""
    hidden = [(Linear(i, o), BatchNorm1d(), ReLU()) for i, o in ((2, 100), (100, 50), (50, 20))]
    return chain(*(operator for block in hidden for operator in block), Linear(20, 1), loss=MSELoss())


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train on other points for each seed."""
    draws = Draws.of(disc, seeds)
    targets = draws.labels.float().unsqueeze(1)
    optimizer = SGD(lr=2e-3, weight_decay=0.05)  # for SGD, weight decay is the gradient of 0.05 / 2 ||w||²
    trained = partial(train, network(), draws, targets, optimizer=optimizer, seeds=seeds, batch_size=64)
    sweeps = {
        f"{epochs} steps": trained(epochs=max(1, epochs // STEPS)),
        f"{epochs} epochs": trained(epochs=epochs),
    }
    net = sweeps[f"{epochs} epochs"].networks[0]
    return Report(
        "C1",
        "Batch normalization",
        "2-100-50-20-1 with batch normalization and ReLU after the first three; MSE; SGD with lr = 0.002, "
        "regularization 0.05, batches of 64.",
        accuracies(sweeps, dict.fromkeys(sweeps, 97.7)),
        note="Whether the published 1000 iterations are steps or passes through the data is not clear: both were run. "
        "The published runs reached 74 % now and then. The accuracy of the training data in the picture is that of the "
        "batches, normalized by their own mean and variance.",
        pictures=[
            curves(Path(folder, "c1_curves.png"), {name: s for name, s in sweeps.items() if "epochs" in name}),
            regions(Path(folder, "c1_points.png"), draws, net, "The disc, by the network with batch normalization"),
        ],
    )
