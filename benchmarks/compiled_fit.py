"""Training by fit with compile=True against fit without, on networks of which a part has no form in C++.

ResNet-18, a GPT block with custom operators for GELU and attention, and a U-Net. A figure is a step of an epoch on
batches at hand with Adam; compilation is not counted. A warning is an error here: nothing may fall back. Where a step
is worth several threads, fit leaves all of it to torch: both figures are of the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from benchmarks.results import Result, Table
from benchmarks.timing import interleave
from benchmarks.zoo import blocks, convolutional
from benchmarks.zoo.perceptrons import perceptron
from graphdl import Network, fit
from graphdl.errors import GraphDLWarning
from graphdl.optim import Adam

BATCHES = 6
REFERENCE, COMPILED = "graphdl", "graphdl, compiled"
NETS: dict[str, tuple[Callable[..., tuple[Network, dict[str, torch.Tensor]]], int | None]] = {
    "perceptron": (perceptron, None),
    "GPT block": (blocks.gpt_block, None),
    "U-Net": (blocks.unet, None),
    "LeNet, one thread": (convolutional.lenet, 1),
    "ResNet-18": (convolutional.resnet18, None),
    "ResNet-18, one thread": (convolutional.resnet18, 1),
}
"""Name -> network and threads; None leaves their number to fit."""


def run(quick: bool = False) -> Result:
    """Every network, both ways in every round."""
    table = Table("A step of fit", "ms a step", REFERENCE)
    for name, (make, threads) in NETS.items():
        ways = {REFERENCE: epoch(make, threads, False), COMPILED: epoch(make, threads, True)}
        seconds = interleave(ways, rounds=5 if quick else 9, seconds=0.2)
        table.add(name, {way: [each / BATCHES for each in found] for way, found in seconds.items()}, 1e-3)
    return Result("compiled_fit", [table], {}, [])


def epoch(
    make: Callable[..., tuple[Network, dict[str, torch.Tensor]]], threads: int | None, compiled: bool
) -> Callable[[], float]:
    """What trains for one epoch more by a stepper that goes on; the loss."""
    net, batch = make()
    rows = len(next(iter(batch.values())))
    data = {name: torch.cat([tensor] * BATCHES) for name, tensor in batch.items()}
    net.predict(batch)  # sizes that follow from the batch
    stepper = Adam(lr=1e-4).bind(net)

    def call() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GraphDLWarning)
            history = fit(
                net, data, optimizer=stepper, epochs=1, batch_size=rows, shuffle=False, threads=threads,
                compile=compiled, progress=False,
            )  # fmt: skip
        return history["loss"][-1]

    return call
