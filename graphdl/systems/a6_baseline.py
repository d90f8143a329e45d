"""A6: a linear classifier, without and with the sum of squares as an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphdl.data import disc, with_sum_of_squares
from graphdl.operators import CrossEntropyLoss, Linear
from graphdl.optim import Adam
from graphdl.plots import plot_points
from graphdl.systems.common import SEEDS, Draws, accuracies, chain, train
from graphdl.systems.report import Report

EPOCHS = 200
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 10}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train one Linear on [x, y], and one on [x, y, x² + y²]."""
    plain = Draws.of(disc, seeds)
    augmented = replace(plain, x=with_sum_of_squares(plain.x))
    sweeps = {
        name: train(
            chain(Linear(draws.x.shape[1], 2), loss=CrossEntropyLoss()),
            draws, draws.labels, optimizer=Adam(lr=0.05), seeds=seeds, epochs=epochs,
        )
        for name, draws in (("[x, y]", plain), ("[x, y, x² + y²]", augmented))
    }  # fmt: skip
    net = sweeps["[x, y, x² + y²]"].networks[0]
    return Report(
        "A6",
        "A linear classifier on augmented inputs",
        f"One Linear; cross-entropy, Adam with lr = 0.05, batches of 50, {epochs} epochs.",
        accuracies(sweeps),
        note="Published: with the sum of squares, linear separation becomes possible.",
        pictures=[
            (
                plot_points(
                    Path(folder, "a6_baseline.png"),
                    plain.panels(),
                    lambda x: net.predict(with_sum_of_squares(x)).softmax(1),
                ),
                "A plane in [x, y, x² + y²] is a circle in [x, y]",
            )
        ],
    )
