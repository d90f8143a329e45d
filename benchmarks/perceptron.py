"""The training that `step` measures: the net 2-25-25-25-2 on 1000 points, the same for every peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from torch import Tensor

from graphdl import Linear, MSELoss, Network, ReLU, Tanh
from graphdl.data import disc, one_hot

WIDTHS = (2, 25, 25, 25, 2)
ROWS, BATCH = 1000, 50
STEPS = ROWS // BATCH  # of an epoch
LR = 5e-3

Train: TypeAlias = Callable[[int], list[float]]
"""Train for so many more epochs; return the mean loss of each."""


@dataclass(frozen=True)
class Problem:
    """The data, and whether every epoch has a fresh permutation of them."""

    x: Tensor
    y: Tensor
    shuffle: bool = True


def problem(shuffle: bool = True) -> Problem:
    """Points of the unit square, inside a disc or not."""
    x, labels = disc(ROWS, seed=0)
    return Problem(x, one_hot(labels, 2), shuffle)


def network(seed: int = 0) -> Network:
    """The perceptron: ReLU, ReLU, ReLU, Tanh; MSE."""
    operators, connectivity, last = {}, {}, "x"
    for k, (i, o) in enumerate(pairwise(WIDTHS), 1):
        operators |= {f"fc{k}": Linear(i, o), f"act{k}": Tanh() if k == len(WIDTHS) - 1 else ReLU()}
        connectivity |= {last: [f"fc{k}"], f"fc{k}": [f"act{k}"]}
        last = f"act{k}"
    operators["loss"] = MSELoss()
    return Network(operators, connectivity | {last: ["loss"], "target": ["loss"]}, seed=seed)


def first_parameters() -> list[Tensor]:
    """The parameters that every peer begins with: weight (o, i) and bias (o) of each layer in turn."""
    return [tensor.clone() for tensor in network().parameters.values()]


def epoch_means(losses: list[float]) -> list[float]:
    """The mean of each epoch's steps."""
    return [sum(losses[k : k + STEPS]) / STEPS for k in range(0, len(losses), STEPS)]
