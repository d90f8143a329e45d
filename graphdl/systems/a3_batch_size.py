"""A3: epochs a second against the batch size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from graphdl.data import disc, one_hot
from graphdl.initializers import TypeOne
from graphdl.network import Network
from graphdl.optim import SGD
from graphdl.plots import plot_lines
from graphdl.systems.a1_optimizers import network
from graphdl.systems.common import SEEDS
from graphdl.systems.report import Report, Result
from graphdl.training import fit

EPOCHS = 20
QUICK: dict[str, Any] = {"seeds": (0,), "epochs": 1}
WAYS = ("eager", "compiled")
PUBLISHED = {1: 7, 50: 225, 100: 330, 500: 700, 1000: 800}


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Time fit, eager and compiled in turns, for each batch size."""
    x, labels = disc(1000, seed=0)
    time = partial(fit, inputs=x, targets=one_hot(labels, 2), progress=False)
    speeds: dict[tuple[int, str], list[float]] = {(size, way): [] for size in PUBLISHED for way in WAYS}
    for batch_size in PUBLISHED:
        steppers = {way: SGD(lr=0.005).bind(Network(*network(TypeOne()), seed=0)) for way in WAYS}
        many = epochs if batch_size < 50 else 10 * epochs
        for seed in (None, *seeds):
            for way, stepper in steppers.items():
                history = time(
                    stepper.net, optimizer=stepper, seed=seed, epochs=many, batch_size=batch_size,
                    compile=way == "compiled",
                )  # fmt: skip
                if seed is not None:  # the first round compiles
                    speeds[batch_size, way].append(many / history.seconds)
    rows = [
        {"batch_size": size, "way": way, "epochs_a_second": speed}
        for (size, way), measured in speeds.items()
        for speed in measured
    ]
    return Report(
        "A3",
        "Epochs a second against the batch size",
        f"The network of A1, SGD, 1000 points. Each figure is of {len(seeds)} rounds of {10 * epochs} epochs, or "
        f"{epochs} with batches of 1, after one that is not counted; fit checks its loss in every epoch.",
        [
            Result(f"batch {size}, {way}, epochs a second", published, speeds[size, way])
            for size, published in PUBLISHED.items()
            for way in WAYS
        ],
        note="The published figures are of a laptop with four cores.",
        pictures=[
            (
                plot_lines(Path(folder, "a3_batch_size.png"), rows, "batch_size", "epochs_a_second", by="way"),
                "Epochs a second against the batch size",
            )
        ],
    )
