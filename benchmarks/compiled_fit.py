"""Training by fit with compile=True against fit without, on networks of which a part has no form in C++.

ResNet-18, LeNet, a GPT block with custom operators for GELU and attention, and a U-Net. A figure is a step of an epoch
on batches at hand with Adam; compilation is not counted. A warning is an error here: nothing may fall back. LeNet
and ResNet-18 are left to the operators, since compiling would gain nothing: both figures are of the same step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from benchmarks import charts
from benchmarks.results import Result, Table
from benchmarks.timing import interleave
from benchmarks.zoo import convolutional, custom, segmentation
from benchmarks.zoo.perceptrons import perceptron
from graphdl import Network
from graphdl.errors import GraphDLWarning
from graphdl.optim import Adam
from graphdl.training.batching import make_batches
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

REFERENCE, COMPILED = "graphdl", "graphdl, compiled"
NETS: dict[str, tuple[Callable[..., tuple[Network, dict[str, torch.Tensor]]], int]] = {
    "perceptron": (perceptron, 20),
    "GPT block": (custom.gpt_block, 20),
    "U-Net": (segmentation.unet, 20),
    "LeNet": (convolutional.lenet, 10),
    "ResNet-18": (convolutional.resnet18, 3),
}
"""Name -> network and batches of an epoch."""

CHARTS = {"compiled_fit": charts.grouped_ratios}


def run(quick: bool = False) -> Result:
    """Every network, both ways in every round."""
    table = Table("A step of fit", "ms a step", REFERENCE)
    for name, (make, batches) in NETS.items():
        ways = {REFERENCE: epoch(make, batches, False), COMPILED: epoch(make, batches, True)}
        seconds = interleave(ways, rounds=5 if quick else 9, seconds=0.2)
        table.add(name, {way: [each / batches for each in found] for way, found in seconds.items()}, 1e-3)
    return Result("compiled_fit", [table])


def epoch(
    make: Callable[..., tuple[Network, dict[str, torch.Tensor]]], batches: int, compiled: bool
) -> Callable[[], float]:
    """What fit does in an epoch; the loss."""
    net, batch = make()
    rows = len(next(iter(batch.values())))
    data = {name: torch.cat([tensor] * batches) for name, tensor in batch.items()}
    net.predict(batch)  # sizes that follow from the batch
    step = TrainingStep(net, Adam(lr=1e-4).bind(net), Scorer(net, ()), together=compiled)
    train = (CompiledEpoch if compiled else SteppedEpoch)(step)
    order = make_batches(net, data, None, rows, False, net.generator)

    def call() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GraphDLWarning)
            return train(order)["loss"]

    return call
