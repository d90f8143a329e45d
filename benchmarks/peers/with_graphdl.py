"""graphdl: fit, compiled fit, compiled steps, and a custom loop."""

from __future__ import annotations

import torch

from benchmarks.perceptron import BATCH, LR, ROWS, Problem, Train, network
from graphdl import Network, fit
from graphdl.data import Batches
from graphdl.optim import Adam


def graphdl_fit(problem: Problem) -> Train:
    """The public function, called again for every few epochs."""
    return _fit(network(), problem)


def graphdl_compiled(problem: Problem) -> Train:
    """The same with compile=True."""
    return _fit(network(), problem, compile=True)


def graphdl_steps(problem: Problem) -> Train:
    """net.compile: the batches of all epochs are gathered first and given to one call."""
    net, x, y = network(), problem.x, problem.y
    steps = net.compile(Adam(lr=LR), {"x": x[:BATCH], "target": y[:BATCH]})

    def train(epochs: int) -> list[float]:
        order = torch.cat([torch.randperm(ROWS) if problem.shuffle else torch.arange(ROWS) for _ in range(epochs)])
        losses = steps({"x": x[order].view(-1, BATCH, 2), "target": y[order].view(-1, BATCH, 2)})
        return list(losses.view(epochs, -1).mean(1).tolist())

    return train


def _fit(net: Network, problem: Problem, **settings: bool) -> Train:
    data = {"x": problem.x, "target": problem.y}

    def train(epochs: int) -> list[float]:
        history = fit(
            net,
            data,
            optimizer=Adam(lr=LR),
            epochs=epochs,
            batch_size=BATCH,
            shuffle=problem.shuffle,
            progress=False,
            **settings,
        )
        return list(history["loss"])

    return train


def graphdl_own_loop(problem: Problem) -> Train:
    """forward, backward, step, which record every value and every gradient."""
    net = network()
    stepper = Adam(lr=LR).bind(net)
    batches = Batches({"x": problem.x, "target": problem.y}, BATCH, shuffle=problem.shuffle)

    def train(epochs: int) -> list[float]:
        means = []
        for _ in range(epochs):
            losses = []
            for batch in batches:
                losses.append(float(net.forward(batch)["loss"]))
                net.backward()
                stepper.step()
            means.append(sum(losses) / len(losses))
        return means

    return train
