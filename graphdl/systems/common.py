"""What the experiments share: chains of operators, data for each seed, and a network for each seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.graph import Key
from graphdl.initializers import Initializer
from graphdl.network import Network
from graphdl.operators import Linear, Operator
from graphdl.optim import Optimizer
from graphdl.plots import plot_curves, plot_points
from graphdl.search import Sweep, fit_all
from graphdl.systems.report import Result

__all__ = [
    "SEEDS",
    "Declaration",
    "Draws",
    "accuracies",
    "chain",
    "classes",
    "curves",
    "error_results",
    "errors",
    "last",
    "perceptron",
    "regions",
    "train",
]

Declaration: TypeAlias = tuple[Mapping[Key, Operator], Mapping[Key, list[Key]]]
Labelled: TypeAlias = tuple[Tensor, Tensor]

SEEDS = tuple(range(10))
TEST_SEED = 1000
"""The test points of the seed s are drawn from the seed 1000 + s."""


def chain(*operators: Operator, loss: Operator) -> Declaration:
    """The two dictionaries of a chain from the input x to a loss.

    >>> from graphdl import Linear, MSELoss, ReLU
    >>> chain(Linear(2, 25), ReLU(), Linear(25, 2), loss=MSELoss())[1]
    {'x': ['linear1'], 'linear1': ['relu2'], 'relu2': ['linear3'], 'linear3': ['loss'], 'target': ['loss']}
    """
    names: list[Key] = [f"{type(operator).__name__.lower()}{k}" for k, operator in enumerate(operators, 1)]
    connectivity: dict[Key, list[Key]] = {source: [fed] for source, fed in pairwise(["x", *names, "loss"])}
    connectivity["target"] = ["loss"]
    return {**dict(zip(names, operators, strict=True)), "loss": loss}, connectivity


def perceptron(*activations: Operator, loss: Operator, weight: Initializer | None = None) -> Declaration:
    """2-25-25-25-2, with an activation after each of the first Linear operators, or after all four."""
    initial = {} if weight is None else {"weight": weight}
    layers = [Linear(2, 25, **initial), *(Linear(25, 25, **initial) for _ in range(2)), Linear(25, 2, **initial)]
    pairs = [(layer, *activations[k : k + 1]) for k, layer in enumerate(layers)]
    return chain(*(operator for pair in pairs for operator in pair), loss=loss)


@dataclass(frozen=True)
class Draws:
    """Training and test points of several seeds, held as one data set.

    x, labels       all points and their classes
    training, test  for each seed, the rows of its points
    """

    x: Tensor
    labels: Tensor
    training: Sequence[Tensor]
    test: Sequence[Tensor]

    @classmethod
    def of(cls, draw: Callable[..., Labelled], seeds: Sequence[int], test: int = 1000, **settings: Any) -> Draws:
        """1000 training points, and others for the test, for each seed."""
        sets = [
            drawn
            for seed in seeds
            for drawn in (draw(n=1000, seed=seed, **settings), draw(n=test, seed=TEST_SEED + seed, **settings))
        ]
        rows = torch.split(torch.arange(sum(len(x) for x, _ in sets)), [len(x) for x, _ in sets])
        return cls(torch.cat([x for x, _ in sets]), torch.cat([labels for _, labels in sets]), rows[::2], rows[1::2])

    def panels(self) -> dict[str, Labelled]:
        """Training and test points of the first seed, as plot_points takes them."""
        rows = {"training": self.training[0], "test": self.test[0]}
        return {title: (self.x[chosen], self.labels[chosen]) for title, chosen in rows.items()}


def train(
    declaration: Declaration,
    draws: Draws,
    targets: Tensor,
    *,
    optimizer: Optimizer,
    seeds: Sequence[int],
    epochs: int,
    batch_size: int = 50,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Sweep:
    """Train a network for each seed on its points, and evaluate it on its test points after every epoch."""
    return fit_all(
        [Network(*declaration, seed=seed, dtype=dtype) for seed in seeds],
        draws.x,
        targets,
        optimizers=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        rows=draws.training,
        validation_rows=draws.test,
        metrics=("accuracy",),
        progress=False,
        **settings,
    )


def last(sweep: Sweep, name: str = "validation_accuracy") -> list[float]:
    """The accuracy in % of each network after its last epoch; NaN for one that failed in the first."""
    return [100 * row.get(name, math.nan) for row in sweep.table]


def accuracies(sweeps: Mapping[str, Sweep], published: Mapping[str, float | str] | None = None) -> list[Result]:
    """The test accuracy of each sweep beside the published one, which may be missing."""
    known = published or {}
    return [Result(f"{name}, test accuracy in %", known.get(name), last(sweep)) for name, sweep in sweeps.items()]


def error_results(found: Mapping[str, Mapping[str, list[float]]], published: Mapping[str, float | str]) -> list[Result]:
    """The training and test errors of each sweep, as `errors` gives them, beside the published ones."""
    return [
        Result(f"{name}, {part} error in %", published[part], error)
        for name, parts in found.items()
        for part, error in parts.items()
    ]


def curves(path: Path, sweeps: Mapping[str, Sweep]) -> tuple[Path, str]:
    """A picture of losses and accuracies by epoch, and its caption."""
    drawn = plot_curves(path, {name: sweep.histories for name, sweep in sweeps.items()})
    return drawn, "Loss and accuracy by epoch: mean and standard deviation over the runs"


def regions(path: Path, draws: Draws, net: Network, caption: str) -> tuple[Path, str]:
    """A picture of the points of the first seed and of the classes that a network gives, and its caption."""
    return plot_points(path, draws.panels(), lambda x: classes(net, x)), caption


def classes(net: Network, x: Tensor) -> Tensor:
    """The class that a network gives to each row: the largest of its outputs, or 1 for a single one above 0.5."""
    prediction: Tensor = net.predict(x)
    return prediction.argmax(1) if prediction.shape[1] > 1 else (prediction[:, 0] > 0.5).long()


def errors(sweep: Sweep, draws: Draws) -> dict[str, list[float]]:
    """The share of misclassified training and test points in %, for each network after its training."""
    return {
        part: [
            100 * float((classes(net, draws.x[chosen]) != draws.labels[chosen]).float().mean())
            for net, chosen in zip(sweep.networks, rows, strict=True)
        ]
        for part, rows in (("training", draws.training), ("test", draws.test))
    }
