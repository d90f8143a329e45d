"""E1: a perceptron with Tanh at its output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphdl.data import disc, one_hot
from graphdl.initializers import UniformFanOut
from graphdl.operators import MSELoss, ReLU, Tanh
from graphdl.optim import SGD
from graphdl.systems.common import SEEDS, Draws, curves, errors, last, perceptron, regions, train
from graphdl.systems.report import Report, Result

EPOCHS = 200
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 5}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train on other points for each seed."""
    draws = Draws.of(disc, seeds)
    net = perceptron(ReLU(), ReLU(), ReLU(), Tanh(), loss=MSELoss(), weight=UniformFanOut())
    sweep = train(
        net, draws, one_hot(draws.labels, 2), optimizer=SGD(lr=0.05), batch_size=5, seeds=seeds, epochs=epochs
    )
    misses = [10 * error for error in errors(sweep, draws)["test"]]
    return Report(
        "E1",
        "A packaged library",
        "2-25-25-25-2 with ReLU, and Tanh at the output; weights ~ Uniform(±1/sqrt(outputs)); MSE with one-hot "
        f"targets: with two outputs, its mean is 1/(2n) sum ||y - a||²; SGD, {epochs} epochs.",
        [
            Result("test accuracy in %", 96.2, last(sweep)),
            Result("misses in 1000 test points", 38, misses),
        ],
        note="Learning rate and batch size are not published: lr = 0.05 and batches of 5 here.",
        pictures=[
            curves(Path(folder, "e1_curves.png"), {"SGD": sweep}),
            regions(Path(folder, "e1_points.png"), draws, sweep.networks[0], "The disc, by the network of system E"),
        ],
    )
