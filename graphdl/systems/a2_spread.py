"""A2: the spread of ten runs on the same data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from graphdl.data import disc, one_hot
from graphdl.initializers import TypeOne
from graphdl.optim import SGD, Adam
from graphdl.plots import plot_curves
from graphdl.systems.a1_optimizers import network, on_training, tuned_bfgs
from graphdl.systems.common import SEEDS, Draws, accuracies, curves, errors, train
from graphdl.systems.report import Report, Result

EPOCHS = 500
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 5}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train runs that differ in their initial weights and in the order of the rows."""
    draws = Draws.of(disc, [0] * len(seeds))
    targets = one_hot(draws.labels, 2)
    first = partial(train, network(TypeOne()), draws, targets, seeds=seeds, epochs=epochs)
    sweeps = {
        "SGD": first(optimizer=SGD(lr=0.005)),
        "momentum": first(optimizer=SGD(lr=0.005, momentum=0.9)),
        "Adam": first(optimizer=Adam(lr=0.005)),
    }
    bfgs = tuned_bfgs(draws, targets, seeds, epochs)
    accuracy = [100 - error for error in errors(bfgs, draws)["test"]]
    return Report(
        "A2",
        "The spread of ten runs",
        f"The network and the settings of A1, with tuned BFGS; {len(seeds)} runs of {epochs} epochs on the points of "
        "the seed 0.",
        [
            *accuracies(sweeps, dict.fromkeys(sweeps, "90 to 100")),
            Result("BFGS, test accuracy in %", "90 to 100", accuracy),
        ],
        pictures=[
            curves(Path(folder, "a2_spread.png"), sweeps),
            (plot_curves(Path(folder, "a2_bfgs.png"), {"BFGS": on_training(bfgs)}), "BFGS on the training points"),
        ],
    )
