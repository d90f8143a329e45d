"""Perceptrons from tiny to large: widths 16 to 4096, depths 2 to 100, batches 1 to 4096.

Linear layers of equal widths with ReLU, mean squared error, Adam; and the net 784-1024-1024-10 with cross-entropy on
batches of 256. A figure is one step on a given batch, with the loss read in Python. graphdl's step is the one that fit
repeats. Sizes that would take too much time or memory are left out. `--compiled` adds both compiled steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks import charts
from benchmarks.results import Result, Table, join_skipped
from benchmarks.timing import assemble, interleave
from benchmarks.training import Batch, graphdl_compiled, graphdl_step, torch_step
from benchmarks.zoo import copy_parameters
from benchmarks.zoo.perceptrons import MLPTwin, WideTwin, mlp, wide
from graphdl import MSELoss, Network, ReLU

WIDTHS, DEPTHS, BATCHES = (16, 64, 256, 1024, 4096), (2, 10, 100), (1, 16, 128, 1024, 4096)
MOST_WORK, MOST_PARAMETERS = 1.2e10, 4e7
REFERENCE = "graphdl"
STEPS = 20  # of a compiled epoch

CHARTS = {"sizes": charts.ratios}

Make = Callable[[], tuple[Network, Batch]]


def run(quick: bool = False, compiled: bool = False) -> Result:
    """Every point of the grid that is not too large."""
    table = Table("A training step of perceptrons of many sizes", "µs a step", REFERENCE)
    skipped: dict[str, dict[str, str]] = {}
    left_out: list[str] = []
    for name, work, make, twin in points(left_out):
        skipped[name] = {}
        contestants = assemble(contest(make, twin, compiled), skipped[name])
        seconds = interleave(contestants, rounds=3 if quick else 5, seconds=0.02 if quick else 0.06)
        table.add(name, seconds, 1e-6, at=work)
        del contestants
    note = (
        f"Left out, above {MOST_WORK:.0e} multiplications or {MOST_PARAMETERS:.0e} parameters: {'; '.join(left_out)}."
    )
    return Result("sizes", [table], join_skipped(skipped), [note])


def points(left_out: list[str]) -> Iterator[tuple[str, float, Make, Callable[[], nn.Module]]]:
    """Name, multiplications a step, and the makers of each net and its twin."""
    for width, depth, rows in itertools.product(WIDTHS, DEPTHS, BATCHES):
        name, parameters = f"width {width}, depth {depth}, batch {rows}", depth * width**2
        if 3 * parameters * rows > MOST_WORK or parameters > MOST_PARAMETERS:
            place = f"width {width}, depth {depth}"
            if not left_out or not left_out[-1].startswith(place + " "):
                left_out.append(f"{place} from batch {rows}")
            continue
        widths = (width,) * (depth + 1)
        make = lambda widths=widths, rows=rows: (mlp(widths, MSELoss(), ReLU()), _batch(rows, widths[0]))  # noqa: E731
        twin = lambda widths=widths: MLPTwin(widths, nn.MSELoss(), nn.ReLU())  # noqa: E731
        yield name, 3.0 * parameters * rows, make, twin
    yield "784-1024-1024-10, batch 256", 3.0 * 256 * (784 * 1024 + 1024**2 + 10240), wide, WideTwin


def contest(make: Make, twin: Callable[[], nn.Module], compiled: bool) -> dict[str, Callable[[], Callable[[], float]]]:
    """The makers of the contestants of a point."""

    def in_torch(**settings: bool) -> Callable[[], float]:
        net, batch = make()
        module = twin()
        copy_parameters(net, module)
        return torch_step(module, batch, **settings)

    makers = {
        REFERENCE: lambda: graphdl_step(*make()),
        "torch eager, Adam": lambda: in_torch(fused=False),
        "torch eager, Adam(fused=True)": in_torch,
    }
    if compiled:
        makers["graphdl, compiled"] = lambda: graphdl_compiled(*make(), steps=STEPS)
        makers["torch.compile, Adam(fused=True)"] = lambda: in_torch(compiled=True)
    return makers


def _batch(rows: int, width: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(rows, width, generator=generator) for name in ("x", "target")}
