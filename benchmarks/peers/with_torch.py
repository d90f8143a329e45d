"""torch.nn with autograd: as written by default, with its best settings, and compiled."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from benchmarks.perceptron import BATCH, LR, ROWS, WIDTHS, Problem, Train, epoch_means, first_parameters


class Perceptron(nn.Module):
    """The perceptron and its loss."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, o in pairwise(WIDTHS):
            layers += [nn.Linear(i, o), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Tanh())
        self.loss = nn.MSELoss()
        with torch.no_grad():
            for own, first in zip(self.parameters(), first_parameters(), strict=True):
                own.copy_(first)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.loss(self.layers(x), y)


def torch_default(problem: Problem) -> Train:
    """As a tutorial writes it."""
    return _train(problem, fused=False, compiled=False)


def torch_fused(problem: Problem) -> Train:
    """With the fastest optimizer."""
    return _train(problem, fused=True, compiled=False)


def torch_compiled(problem: Problem) -> Train:
    """Network and loss compiled, with the fastest optimizer."""
    return _train(problem, fused=True, compiled=True)


def _train(problem: Problem, fused: bool, compiled: bool) -> Train:
    model = Perceptron()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=fused or None)
    compute = torch.compile(model) if compiled else model

    def train(epochs: int) -> list[float]:
        losses = []
        for _ in range(epochs):
            order = torch.randperm(ROWS) if problem.shuffle else torch.arange(ROWS)
            xs, ys = problem.x[order].split(BATCH), problem.y[order].split(BATCH)
            for x, y in zip(xs, ys, strict=True):
                optimizer.zero_grad()
                loss = compute(x, y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return epoch_means(losses)

    return train
