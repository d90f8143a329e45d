"""One training step of the net 2-25-25-25-2, batch 50, Adam: graphdl against torch.nn, on one thread.

    python -m benchmarks.step

A step is forward, backward and update on a batch that is at hand; an epoch is 20 steps. The loss is brought to Python
in every step by all, since fit does so. The first lines check that both train alike from the same parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.timing import interleave, machine, table
from graphdl import Linear, MSELoss, Network, ReLU, Tanh
from graphdl.optim import Adam
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

WIDTHS = (2, 25, 25, 25, 2)
STEPS = 20  # of an epoch: batches of 50 of 1000 points


def network(seed: int = 0) -> Network:
    """The perceptron: ReLU, ReLU, ReLU, Tanh; MSE."""
    operators, connectivity, last = {}, {}, "x"
    for k, (i, o) in enumerate(pairwise(WIDTHS), 1):
        operators |= {f"fc{k}": Linear(i, o), f"act{k}": Tanh() if k == 4 else ReLU()}
        connectivity |= {last: [f"fc{k}"], f"fc{k}": [f"act{k}"]}
        last = f"act{k}"
    operators["loss"] = MSELoss()
    return Network(operators, connectivity | {last: ["loss"], "target": ["loss"]}, seed=seed)


def fit_epoch(x: Tensor, y: Tensor) -> Callable[[], float]:
    """What fit does with the batches of an epoch."""
    net = network()
    step = TrainingStep(net, Adam(lr=5e-3).bind(net), Scorer(net, ()))
    batch = {"x": x, "target": y}

    def epoch() -> float:
        with torch.inference_mode():
            for _ in range(STEPS):
                loss = step(batch).loss
        return loss

    return epoch


def own_loop(x: Tensor, y: Tensor) -> Callable[[], float]:
    """The loop a user writes, which records every value and every gradient."""
    net = network()
    stepper = Adam(lr=5e-3).bind(net)
    batch = {"x": x, "target": y}

    def epoch() -> float:
        for _ in range(STEPS):
            loss = float(net.forward(batch)["loss"])
            net.backward()
            stepper.step()
        return loss

    return epoch


def torch_nn(x: Tensor, y: Tensor, **settings: bool) -> Callable[[], float]:
    """The same network in torch.nn, with autograd and torch.optim.Adam."""
    layers: list[torch.nn.Module] = []
    for k, (i, o) in enumerate(pairwise(WIDTHS), 1):
        layers += [torch.nn.Linear(i, o), torch.nn.Tanh() if k == 4 else torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers)
    first = iter(network().parameters.values())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(next(first))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, **settings)
    criterion = torch.nn.MSELoss()

    def epoch() -> float:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            value = loss.item()
        return value

    return epoch


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.rand(50, 2), torch.rand(50, 2)
    ours, theirs = fit_epoch(x, y), torch_nn(x, y)
    difference = max(abs(ours() - theirs()) for _ in range(10))
    print(f"the losses over 10 epochs differ by at most {difference:.1e}")
    contestants = {
        "graphdl, the step of fit": fit_epoch(x, y),
        "graphdl, forward, backward, step": own_loop(x, y),
        "torch.nn, autograd, Adam": torch_nn(x, y),
        "torch.nn, autograd, Adam(fused=True)": torch_nn(x, y, fused=True),
    }
    print(machine())
    print(table(interleave(contestants, rounds=15, repeats=20), "graphdl, the step of fit", 1e-6 * STEPS, "µs"))


if __name__ == "__main__":
    main()
