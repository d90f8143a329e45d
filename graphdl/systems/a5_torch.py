"""A5: the very same network in torch.nn, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphdl.data import disc, one_hot
from graphdl.initializers import TypeOne
from graphdl.network import Network
from graphdl.optim import Adam
from graphdl.plots import plot_curves
from graphdl.systems.a1_optimizers import network
from graphdl.systems.common import SEEDS
from graphdl.systems.report import Report, Result
from graphdl.training import evaluate, fit

EPOCHS = 200
QUICK: dict[str, Any] = {"seeds": (0, 1), "epochs": 10}
BATCH = 50
ROUNDS = 5

Labelled = tuple[Tensor, Tensor]


class RectifiedTanh(torch.nn.Module):
    """0.5 (1 + tanh x), by autograd."""

    def forward(self, x: Tensor) -> Tensor:
        """The value."""
        return 0.5 * (1 + torch.tanh(x))


def twin(net: Network) -> torch.nn.Sequential:
    """The network of A1 in torch.nn, with the parameters of `net`."""
    nn = torch.nn
    layers = [nn.Linear(2, 25), nn.ReLU(), nn.Linear(25, 25), nn.ReLU(), nn.Linear(25, 25), RectifiedTanh()]
    model = nn.Sequential(*layers, nn.Linear(25, 2))
    with torch.no_grad():
        for theirs, ours in zip(model.parameters(), net.parameters.values(), strict=True):
            theirs.copy_(ours)
    return model


def train_twin(model: torch.nn.Sequential, data: Labelled, seed: int) -> Callable[[int], list[float]]:
    """The usual loop over the batches that fit takes with this seed; it returns the mean loss of each epoch."""
    (x, targets), optimizer = data, torch.optim.Adam(model.parameters(), lr=0.005)
    generator = torch.Generator().manual_seed(seed)

    def epochs(count: int) -> list[float]:
        losses = []
        for _ in range(count):
            total = 0.0
            for rows in torch.split(torch.randperm(len(x), generator=generator), BATCH):
                loss = 2 * torch.nn.functional.mse_loss(model(x[rows]), targets[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.item() * len(rows)
            losses.append(total / len(x))
        return losses

    return epochs


def train_ours(net: Network, data: Labelled, seed: int, compiled: bool) -> Callable[[int], list[float]]:
    """fit, which goes on where its stepper stands."""
    stepper = Adam(lr=0.005).bind(net)
    go_on = partial(fit, net, *data, optimizer=stepper, batch_size=BATCH, seed=seed, compile=compiled, progress=False)
    return lambda count: go_on(epochs=count)["loss"]


def run(seeds: Sequence[int] = SEEDS, epochs: int = EPOCHS, folder: str | Path = "out") -> Report:
    """Train both from the same parameters on the same batches, and time them in turns."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours, theirs, difference, losses = accuracies(seeds, epochs)
        speeds = measure(max(1, epochs // 4))
    finally:
        torch.set_num_threads(threads)
    ratios = {name: [a / b for a, b in zip(speeds[name], speeds["torch.nn"], strict=True)] for name in speeds}
    return Report(
        "A5",
        "The same network in torch.nn",
        f"The network of A1, Adam with lr = 0.005, batches of 50, {epochs} epochs; torch.nn with autograd starts from "
        f"the same parameters and takes the same batches. Iterations are timed in turns, {ROUNDS} rounds of {epochs} "
        "epochs in all, on one thread.",
        [
            Result("graphdl, test accuracy in %", "that of torch.nn", ours),
            Result("torch.nn, test accuracy in %", None, theirs),
            Result("largest difference of the loss in the first ten epochs", None, difference),
            *(Result(f"{name}, iterations a second", None, speed) for name, speed in speeds.items()),
            Result("graphdl, iterations for one of torch.nn", 2.2, ratios["graphdl"]),
            Result("graphdl compiled, iterations for one of torch.nn", 2.2, ratios["graphdl compiled"]),
        ],
        note="Both compute in float32 and in another order, so that long trainings part from each other.",
        pictures=[(plot_curves(Path(folder, "a5_torch.png"), losses), "The loss of both, by epoch")],
    )


def accuracies(
    seeds: Sequence[int], epochs: int
) -> tuple[list[float], list[float], list[float], dict[str, list[dict[str, list[float]]]]]:
    """The test accuracies of both, how far their first losses are apart, and all losses."""
    ours, theirs, difference = [], [], []
    losses: dict[str, list[dict[str, list[float]]]] = {"graphdl": [], "torch.nn": []}
    for seed in seeds:
        (x, labels), (x_test, labels_test) = disc(1000, seed=seed), disc(1000, seed=1000 + seed)
        data, net = (x, one_hot(labels, 2)), Network(*network(TypeOne()), seed=seed)
        model = twin(net)
        runs = train_ours(net, data, seed, compiled=True)(epochs), train_twin(model, data, seed)(epochs)
        for kept, run in zip(losses.values(), runs, strict=True):
            kept.append({"loss": run})
        difference.append(max(abs(a - b) for a, b in islice(zip(*runs, strict=True), 10)))
        measured = evaluate(net, x_test, one_hot(labels_test, 2), metrics=("accuracy",))
        ours.append(100 * measured["accuracy"])
        theirs.append(100 * float((model(x_test).argmax(1) == labels_test).float().mean()))
    return ours, theirs, difference, losses


def measure(epochs: int) -> dict[str, list[float]]:
    """Iterations a second in several rounds, after one that is not counted."""
    x, labels = disc(1000, seed=0)
    data = x, one_hot(labels, 2)
    nets = [Network(*network(TypeOne()), seed=0) for _ in range(3)]
    ways = {
        "torch.nn": train_twin(twin(nets[0]), data, 0),
        "graphdl": train_ours(nets[1], data, 0, compiled=False),
        "graphdl compiled": train_ours(nets[2], data, 0, compiled=True),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn, (name, train) in enumerate(islice(cycle(ways.items()), len(ways) * (ROUNDS + 1))):
        many = epochs * (10 if name.endswith("compiled") else 1)
        start = time.perf_counter()
        train(many)
        if turn >= len(ways):
            speeds[name].append(many * len(x) / BATCH / (time.perf_counter() - start))
    return speeds
