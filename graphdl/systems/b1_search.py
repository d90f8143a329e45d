"""B1: a search over hyperparameters by cross-validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from graphdl.data import disc
from graphdl.initializers import XavierNormal
from graphdl.operators import CrossEntropyLoss, ReLU
from graphdl.optim import SGD, Adam, Cosine, Optimizer
from graphdl.plots import plot_heat_map, plot_lines, plot_parallel
from graphdl.search import Sweep, sweep
from graphdl.systems.common import SEEDS, Declaration, Draws, last, perceptron, train
from graphdl.systems.report import Report, Result

EPOCHS = 100
RATES = [round(10 ** (-4 + k / 3), 6) for k in range(10)]
"""Ten learning rates from 1e-4 to 1e-1."""
OTHERS = {"eps": [1e-8, 1e-7, 1e-6], "beta1": [0.8, 0.9], "beta2": [0.9, 0.999]}
FOLDS = 5
STEPS = 80
"""Batches of 10 in an epoch of 800 points."""
PUBLISHED = {"SGD": 97.0, "Adam": 98.0}
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 3, "rates": RATES[4::4]}


def network(*_: object) -> Declaration:
    """The network of system B."""
    return perceptron(ReLU(), ReLU(), ReLU(), loss=CrossEntropyLoss(), weight=XavierNormal())


def optimizers_for(steps: int) -> dict[str, Callable[[dict[str, Any]], Optimizer]]:
    """By name, the optimizer of a setting; the last two lower their rate to 0 in so many steps."""
    return {
        "SGD": lambda setting: SGD(lr=setting["lr"]),
        "Adam": lambda setting: Adam(lr=setting["lr"], betas=(setting["beta1"], setting["beta2"]), eps=setting["eps"]),
        "SGD, cosine": lambda setting: SGD(lr=Cosine(setting["lr"], steps=steps)),
        "Adam, cosine": lambda setting: Adam(lr=Cosine(setting["lr"], steps=steps)),
    }


def run(
    seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out", rates: Sequence[float] = RATES
) -> Report:
    """Search for both optimizers, then train each best setting on other points for each seed."""
    x, labels = disc(1000, seed=0)
    search = partial(
        sweep, network, x, labels, folds=FOLDS, epochs=epochs, batch_size=10, metrics=("accuracy",), progress=False
    )
    steps, optimizers = epochs * STEPS, optimizers_for(epochs * STEPS)
    repeats, start = range(len(list(product(*OTHERS.values())))), time.perf_counter()
    found = {
        "SGD": search(over={"lr": rates, "seed": repeats}, optimizer=optimizers["SGD"]),
        "Adam": search(over={"lr": rates, **OTHERS}, optimizer=optimizers["Adam"]),
    }
    seconds = time.perf_counter() - start
    found |= {name: search(over={"lr": rates}, optimizer=optimizers[name]) for name in ("SGD, cosine", "Adam, cosine")}
    draws = Draws.of(disc, seeds)
    again = partial(train, network(), draws, draws.labels, seeds=seeds, epochs=epochs, batch_size=10)
    final = {name: again(optimizer=optimizers[name](each.best)) for name, each in found.items()}
    count = len(found["SGD"]) + len(found["Adam"])
    return Report(
        "B1",
        "A search with cross-validation",
        f"2-25-25-25-2 with ReLU, cross-entropy, Xavier, batches of 10, {epochs} epochs, {FOLDS} folds of 1000 points. "
        f"Adam: {len(rates)} learning rates, 3 epsilons, 2 beta1, 2 beta2. SGD has no epsilon and betas, so that its "
        f"{len(repeats)} settings of a learning rate differ in their seed. {count} networks, "
        f"{count * steps / 1e6:.3g} million steps.",
        [
            *results(found, final),
            Result("seconds for the searches of SGD and Adam", None, [seconds]),
        ],
        note="With a constant rate, accuracies sway from epoch to epoch; cosine means one search more, of the "
        "learning rate alone, which falls to 0 along a cosine. The best of many settings is better on its folds than "
        "on new points, because it was chosen by them: so it was trained again, on other points for each seed.",
        pictures=pictures(found, Path(folder)),
    )


def results(found: dict[str, Sweep], final: dict[str, Sweep]) -> list[Result]:
    """The figures of the best settings, on their folds and on new points."""
    return [
        result
        for name, search in found.items()
        for result in (
            Result(f"{name}, best cross-validated accuracy in %", PUBLISHED[name.partition(",")[0]], folds_of(search)),
            Result(f"{name}, best learning rate", 1e-4, [search.best["lr"]]),
            Result(
                f"{name}, the best setting on new points, test accuracy in %",
                PUBLISHED[name.partition(",")[0]],
                last(final[name]),
            ),
        )
    ]


def pictures(found: dict[str, Sweep], folder: Path) -> list[tuple[Path, str]]:
    """Accuracies against the learning rate, and of all settings of Adam."""
    rows = [{"optimizer": name, **row} for name, search in found.items() for row in search.table]
    figure, adams = "validation_accuracy", found["Adam"]
    return [
        (
            plot_lines(folder / "b1_rates.png", rows, "lr", figure, by="optimizer"),
            "Accuracy against the learning rate: mean and standard deviation over the other settings and the folds",
        ),
        (
            plot_heat_map(folder / "b1_adam.png", adams.table, "lr", "eps", figure, panels=["beta1", "beta2"]),
            "Adam: all settings, mean over the folds",
        ),
        (
            plot_parallel(folder / "b1_parallel.png", adams.summary, ["lr", *OTHERS], figure),
            "Adam: all settings in parallel coordinates",
        ),
    ]


def folds_of(search: Sweep) -> list[float]:
    """The accuracies in % of the best setting."""
    best = search.best.items()
    return [100 * row["validation_accuracy"] for row in search.table if all(row[name] == value for name, value in best)]
