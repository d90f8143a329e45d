"""The peak memory of a training step of ten nets, and what graphdl plans it to be beforehand.

torch's profiler reports every allocation and release of a tensor; summed from the construction of the network on, they
give the bytes in use at each moment, and the maximum in the third step is the peak. The first table counts the bytes in
addition to those that any training needs: parameters, buffers, Adam's two moments and the batch. So it shows values,
gradients and scratch space. The second table counts everything. Both contestants are measured in the same way: the step
that graphdl's fit repeats, and torch eager with Adam(fused=True), which frees its gradients before each step.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks import charts
from benchmarks.results import Result, Table
from benchmarks.training import LR, Batch, Step, graphdl_step, torch_step
from benchmarks.zoo import NETS, TWINS
from graphdl import Network
from graphdl.optim import Adam

REFERENCE, TORCH, PLANNED = "graphdl", "torch eager, Adam(fused=True)", "planned by net.cost"
MARK = "the step that counts"
MB = 2**20

CHARTS = {"memory": charts.grouped_ratios}


def run() -> Result:
    """Both contestants on each net, and the plan if this graphdl makes one."""
    above = Table("Peak memory of a training step above what training holds", "MiB", REFERENCE)
    total = Table("Peak memory of a training step, in total", "MiB", REFERENCE)
    skipped = {} if hasattr(Network, "cost") else {PLANNED: "this graphdl's Network has no method cost"}
    for name in NETS:
        net, batch = NETS[name]()
        held = held_bytes(net, batch)
        peaks = measured_peaks(name, batch)
        if not skipped:
            try:
                peaks[PLANNED] = planned_peak(net, batch)
            except Exception as error:
                skipped[PLANNED] = f"it failed on {name}: {type(error).__name__}: {error}"
        total.add(name, {key: [value] for key, value in peaks.items()}, MB)
        above.add(name, {key: [value - held] for key, value in peaks.items()}, MB)
    return Result("memory", [above, total], skipped, _errors(total))


def measured_peaks(name: str, batch: Batch) -> dict[str, int]:
    """Of both contestants, each made while it is watched."""
    return {
        REFERENCE: peak(lambda: graphdl_step(NETS[name]()[0], batch), batch),
        TORCH: peak(lambda: torch_step(TWINS[name](), batch), batch),
    }


def held_bytes(net: Network, batch: Batch) -> int:
    """Parameters, buffers, two moments, and the batch."""
    return 3 * _bytes(net.parameters) + _bytes(net.buffers) + _bytes(batch)


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in tensors.values()}.values())


def peak(make: Callable[[], Step], batch: Batch) -> int:
    """The maximum of bytes in use during the third step, including the batch."""
    gc.collect()  # what is freed within the profile would count as less
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step = make()
        for _ in range(2):
            step()
        with record_function(MARK):
            step()
    events = profiler.profiler.kineto_results.events()
    start = next(event.start_ns() for event in events if event.name() == MARK)
    living = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        if event.start_ns() >= start:
            most = max(most, living)
        living += event.nbytes()
    return most + _bytes(batch)


def planned_peak(net: Network, batch: Batch) -> int:
    """What net.cost says before anything is computed."""
    return net.cost(batch, optimizer=Adam(lr=LR)).peak  # tensors tell where two inputs are one


def _errors(total: Table) -> list[str]:
    """The relative differences of planned and measured peaks."""
    errors = []
    for group in total.groups:
        measured, planned = total.find(group, REFERENCE), total.find(group, PLANNED)
        if measured and planned:
            errors.append(f"{group} {planned.median / measured.median - 1:+.1%}")
    return [f"The planned peak differs from graphdl's measured total by {', '.join(errors)}."] if errors else []
