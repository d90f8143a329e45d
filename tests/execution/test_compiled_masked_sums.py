"""Sums of masked rows at short widths: g++ 12 gets them wrong where its loops over rows may be turned around."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from graphdl import BatchNorm1d, Feed, LayerNorm, Linear, MSELoss, Network, Operator, ReLU
from graphdl.optim import SGD
from tests.twins import assert_twins, needs_compiler

pytestmark = needs_compiler
WIDTHS = [1, 2, 3, 5, 6, 7, 9, 11, 12, 13, 15, 16, 25]
STEPS, ROWS = 3, 48


@dataclass(frozen=True)
class Masked(Operator):
    """max(x, 0) by a mask that is kept."""

    recordable: ClassVar = True

    def forward(self, p, x, *, training):
        mask = x > 0
        return torch.where(mask, x, 0.0), mask

    def backward(self, p, mask, dy):
        return (torch.where(mask, dy, 0.0),), {}


MIDDLES = {
    "layer norm": lambda width: [LayerNorm(width), ReLU()],
    "batch norm": lambda width: [BatchNorm1d(width), ReLU()],
    "a mask of one's own": lambda width: [LayerNorm(width), Masked()],
}


def chains(middle):
    """One network of a chain for every width, each with a loss of its own."""
    operators, edges = {}, {}
    for width in WIDTHS:
        parts = [*middle(width), Linear(width, 1), MSELoss()]
        names = [f"{type(part).__name__} {k} of {width}" for k, part in enumerate(parts)]
        operators |= dict(zip(names, parts, strict=True))
        edges[f"x {width}"] = [names[0]]
        edges |= {name: [after] for name, after in pairwise(names)}
        edges[names[-2]] = [Feed(names[-1], "prediction")]
    edges["target"] = [Feed(name, "target") for name in operators if "MSELoss" in name]
    return Network(operators, edges, seed=0)


@pytest.mark.parametrize("middle", MIDDLES)
def test_train_alike(middle):
    generator = torch.Generator().manual_seed(1)
    widths = {"target": 1} | {f"x {width}": width for width in WIDTHS}
    inputs = {name: torch.randn(STEPS, ROWS, width, generator=generator) for name, width in widths.items()}
    assert_twins(lambda: chains(MIDDLES[middle]), inputs, SGD(lr=0.05))
