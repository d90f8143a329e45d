"""B3: mean squared error and cross-entropy over the learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphdl.data import disc, one_hot
from graphdl.initializers import XavierNormal
from graphdl.operators import CrossEntropyLoss, MSELoss, ReLU
from graphdl.optim import SGD, Adam, Optimizer
from graphdl.plots import plot_lines
from graphdl.search import sweep
from graphdl.systems.b1_search import RATES
from graphdl.systems.common import SEEDS, Declaration, perceptron
from graphdl.systems.report import Report, Result

EPOCHS = 100
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 2, "rates": RATES[::4]}
LOSSES = {"MSE": MSELoss(), "cross-entropy": CrossEntropyLoss()}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"SGD": SGD, "Adam": Adam}


def network(setting: dict[str, Any]) -> Declaration:
    """The network of system B with the loss of a setting."""
    return perceptron(ReLU(), ReLU(), ReLU(), loss=LOSSES[setting["with"][0]], weight=XavierNormal())


def optimizer(setting: dict[str, Any]) -> Optimizer:
    """The optimizer of a setting."""
    return OPTIMIZERS[setting["with"][1]](lr=setting["lr"])


def run(
    seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out", rates: Sequence[float] = RATES
) -> Report:
    """Train with each loss, optimizer and learning rate, on the same points."""
    (x, labels), (x_test, labels_test) = disc(1000, seed=0), disc(1000, seed=1000)
    cases = [(loss, name) for loss in LOSSES for name in OPTIMIZERS]
    search = sweep(
        network, x, one_hot(labels, 2), over={"with": cases, "lr": rates, "seed": seeds}, optimizer=optimizer,
        epochs=epochs, batch_size=10, validation=(x_test, one_hot(labels_test, 2)), metrics=("accuracy",),
        progress=False,
    )  # fmt: skip
    found = {case: [row for row in search.summary if row["with"] == case] for case in cases}
    results = []
    for case, rows in found.items():
        means = [100 * row["validation_accuracy"] for row in rows]
        published = ("30", "97") if case[0] == "MSE" else (None, None)
        for which, wanted, value in zip(("lowest", "highest"), published, (min(means), max(means)), strict=True):
            results.append(Result(f"{', '.join(case)}: {which} accuracy of a learning rate in %", wanted, [value]))
    table = [{**row, "with": ", ".join(row["with"])} for row in search.table]
    return Report(
        "B3",
        "Losses over the learning rates",
        f"2-25-25-25-2 with ReLU, Xavier, batches of 10, {epochs} epochs; {len(rates)} learning rates from 1e-4 to "
        f"1e-1, {len(seeds)} seeds each.",
        results,
        note="Published: the accuracy swings over 0.30 to 0.97 with MSE while tuning, and does not with cross-entropy. "
        "Here the learning rate matters, for both losses alike.",
        pictures=[
            (
                plot_lines(Path(folder, "b3_losses.png"), table, "lr", "validation_accuracy", by="with"),
                "Test accuracy against the learning rate: mean and standard deviation over the seeds",
            )
        ],
    )
