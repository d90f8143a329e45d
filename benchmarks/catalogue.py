"""Whole nets against torch.nn: ResNet-18, a U-Net, a GPT and a 2-layer LSTM, by steps of fit and by peak memory.

ResNet-18 on 16 pictures of 32 x 32, a U-Net of widths 32, 64 and 128 on 8 of 64 x 64, a 4-layer GPT of width 256 on 8
texts of 128 tokens, and a 2-layer LSTM of width 128 on 32 sequences of 50 steps. Both contestants begin with the same
parameters, and the losses of their first steps are compared. A figure of the first two tables is a step of an epoch on
batches at hand with Adam: what fit does, without and with compile=True, against a loop with Adam(fused=True), with the
module as it is and by torch.compile. Compilation is not counted. Steps that are mostly convolutions and products are
left to the operators by compile=True. The third table is the peak of bytes in use during a step, with parameters and
the optimizer's state, each contestant in a separate process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor, nn

from benchmarks import charts
from benchmarks.compiled_fit import epoch
from benchmarks.environment import take_one_thread
from benchmarks.memory import MB, peak
from benchmarks.results import Result, Table, join_skipped
from benchmarks.timing import assemble, interleave
from benchmarks.training import Batch, Step, graphdl_step, same_first_loss, torch_step
from benchmarks.zoo import copy_parameters
from benchmarks.zoo.convolutional import ResNet18Twin, resnet18
from benchmarks.zoo.segmentation import LARGE, UNetTwin, unet
from benchmarks.zoo.sequences import LSTMTwin, lstm
from benchmarks.zoo.transformers import GPTTwin, gpt
from graphdl import Network

OURS, THEIRS = "graphdl", "torch.nn, Adam(fused=True)"
OURS_COMPILED, THEIRS_COMPILED = "graphdl, compiled", "torch.compile, Adam(fused=True)"

Maker = Callable[[], tuple[Network, dict[str, Tensor]]]

NETS: dict[str, tuple[Maker, Callable[[], nn.Module], int]] = {
    "ResNet-18": (resnet18, ResNet18Twin, 2),
    "U-Net": (lambda: unet(8, 64, LARGE), lambda: UNetTwin(LARGE), 2),
    "GPT": (gpt, GPTTwin, 2),
    "LSTM": (lstm, LSTMTwin, 5),
}
"""Name -> the net, its twin and the batches of an epoch."""

SMALL: dict[str, tuple[Maker, Callable[[], nn.Module], int]] = {
    "ResNet-18": (lambda: resnet18(2, (8, 8, 16, 16), 8), lambda: ResNet18Twin((8, 8, 16, 16)), 2),
    "U-Net": (lambda: unet(2, 16), UNetTwin, 2),
    "GPT": (lambda: gpt(2, 8, 16, 2, 1), lambda: GPTTwin(8, 16, 2, 1), 2),
    "LSTM": (lambda: lstm(2, 5, 8), lambda: LSTMTwin(8), 2),
}
"""Nets of the same kinds that take a moment."""

CHARTS = {
    "catalogue": charts.grouped_ratios,
    "catalogue_compiled": charts.grouped_ratios,
    "catalogue_memory": charts.grouped_ratios,
}


def run(quick: bool = False) -> Result:
    """Every net by each contestant; quick: small nets, and no torch.compile, which takes minutes."""
    steps = Table("A step of fit", "ms a step", OURS)
    compiled_steps = Table("A step of fit(compile=True)", "ms a step", OURS_COMPILED)
    memory = Table("Peak memory of a step", "MiB", OURS)
    skipped: dict[str, dict[str, str]] = {}
    worst = 0.0
    for name, (_, _, batches) in (SMALL if quick else NETS).items():
        worst = max(worst, first_losses(name, quick))
        skipped[name] = {THEIRS_COMPILED: "it is not in quick runs"} if quick else {}
        rounds, turn = (2, 0.0) if quick else (9, 0.5)
        for table, which in ((steps, (OURS, THEIRS)), (compiled_steps, (OURS_COMPILED, THEIRS_COMPILED))):
            ways = assemble({way: _maker(name, way, quick) for way in which if way not in skipped[name]}, skipped[name])
            seconds = interleave(ways, rounds=rounds, seconds=turn)
            table.add(name, {way: [each / batches for each in found] for way, found in seconds.items()}, 1e-3)
        memory.add(name, {way: [in_a_process(name, way, quick)] for way in (OURS, THEIRS)}, MB)
    note = f"The losses of the first steps differ by at most {worst:.1e} of the loss."
    return Result("catalogue", [steps, compiled_steps, memory], join_skipped(skipped), [note])


def first_losses(name: str, quick: bool) -> float:
    """By how much the losses of the first steps differ, in parts of the loss; raises ValueError if it is much."""
    net, batch, twin, _ = made(name, quick)
    return same_first_loss(graphdl_step(net, batch), torch_step(twin, batch))


def made(name: str, quick: bool) -> tuple[Network, Batch, nn.Module, int]:
    """A net with its batch, its twin with the same parameters, and the batches of an epoch."""
    make, make_twin, batches = (SMALL if quick else NETS)[name]
    net, batch = make()
    net.predict(batch)
    twin = make_twin()
    copy_parameters(net, twin)
    return net, batch, twin, batches


def _maker(name: str, way: str, quick: bool) -> Callable[[], Callable[[], object]]:
    make, _, batches = (SMALL if quick else NETS)[name]
    if way in (OURS, OURS_COMPILED):
        return lambda: epoch(make, batches, way == OURS_COMPILED)
    return lambda: torch_epoch(name, quick, way == THEIRS_COMPILED)


def torch_epoch(name: str, quick: bool, compiled: bool) -> Callable[[], float]:
    """A loop over the batches of an epoch; the mean loss."""
    _, batch, twin, batches = made(name, quick)
    step = torch_step(twin, batch, compiled=compiled)

    def call() -> float:
        return sum(step() for _ in range(batches)) / batches

    return call


def in_a_process(name: str, way: str, quick: bool) -> int:
    """The peak of a contestant's step, measured in a separate process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), take_one_thread) as pool:
        return pool.submit(measured_peak, name, way, quick).result()


def measured_peak(name: str, way: str, quick: bool) -> int:
    """The peak of a contestant's step in this process."""
    torch.set_num_threads(1)
    make, make_twin, _ = (SMALL if quick else NETS)[name]
    batch = make()[1]

    def step() -> Step:
        return graphdl_step(make()[0], batch) if way == OURS else torch_step(make_twin(), batch)

    return peak(step, batch)
