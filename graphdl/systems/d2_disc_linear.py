"""D2: a quarter of a disc, by one Linear: out of its reach."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from graphdl.data import disc, one_hot
from graphdl.operators import Linear, MSELoss
from graphdl.optim import SGD, Cosine
from graphdl.systems.common import SEEDS, Draws, chain, error_results, errors, regions, train
from graphdl.systems.report import Report

EPOCHS = 1000
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 20}
STEPS = 20
"""Batches of 50 in an epoch of 1000 points."""


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train on other points for each seed, and solve the same problem by least squares."""
    draws = Draws.of(disc, seeds, test=200, centre=(0.0, 0.0))
    targets = one_hot(draws.labels, 2)
    trained = partial(train, chain(Linear(2, 2), loss=MSELoss()), draws, targets, seeds=seeds, epochs=epochs)
    rested = trained(optimizer=SGD(lr=Cosine(0.05, steps=STEPS * epochs)))
    found = {
        "SGD": errors(trained(optimizer=SGD(lr=0.05)), draws),
        "SGD, rate to 0": errors(rested, draws),
        "least squares": least_squares(draws, targets),
    }
    published = {"training": 10.2, "test": 11.0}
    return Report(
        "D2",
        "A quarter of a disc, by one Linear",
        "1000 points uniform in [0, 1]² and 200 for the test, class 1 within 1/sqrt(2 pi) of the origin: an eighth of "
        f"them; one Linear, MSE with one-hot targets, SGD with lr = 0.05, batches of 50, {epochs} epochs.",
        error_results(found, published),
        note="Least squares is the limit of this classifier on the same points. SGD whose rate is lowered to 0 along a "
        "cosine reaches it; with a constant rate it stays near it.",
        pictures=[
            regions(
                Path(folder, "d2_disc_linear.png"), draws, rested.networks[0], "The quarter of a disc, by one Linear"
            )
        ],
    )


def least_squares(draws: Draws, targets: torch.Tensor) -> dict[str, list[float]]:
    """The errors in % of the linear classifier with the least squared distance to the training targets."""
    inputs = torch.cat([draws.x, torch.ones(len(draws.x), 1)], dim=1).double()
    found: dict[str, list[float]] = {"training": [], "test": []}
    for training, test in zip(draws.training, draws.test, strict=True):
        weight = torch.linalg.lstsq(inputs[training], targets[training].double()).solution
        for part, rows in (("training", training), ("test", test)):
            wrong = (inputs[rows] @ weight).argmax(1) != draws.labels[rows]
            found[part].append(100 * float(wrong.float().mean()))
    return found
