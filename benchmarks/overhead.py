"""What graphdl's executor adds to the bare calls of torch: a chain of 1,000 ReLU on 8 numbers, forward and backward.

The bare calls are the same kernels, torch.relu and aten.threshold_backward, in a loop of Python that keeps what
backward needs in a list. The overhead is the difference between the two, a node and pass.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from benchmarks.results import Result, Table
from benchmarks.timing import interleave
from graphdl import Network, ReLU
from graphdl.execution.passes import Backward, Forward, run_backward, run_forward

NODES, NUMBERS = 1_000, 8
BARE, EXECUTOR = "bare torch calls", "graphdl's executor"

CHARTS: dict[str, Callable[..., None]] = {}


def run(quick: bool = False) -> Result:
    """Both, interleaved."""
    x, dy = torch.randn(NUMBERS), torch.randn(NUMBERS)
    contestants = {EXECUTOR: executor(x, dy), BARE: bare(x, dy)}
    values = [call() for call in contestants.values()]
    assert torch.equal(*values), "the gradients differ"
    seconds = interleave(contestants, rounds=3 if quick else 21, seconds=0.05 if quick else 0.2)
    table = Table("A chain of 1,000 ReLU, forward and backward", "µs a node and pass", EXECUTOR)
    table.add("", seconds, 1e-6 * NODES * 2)
    ours, theirs = (statistics.median(seconds[name]) / NODES / 2 * 1e6 for name in (EXECUTOR, BARE))
    return Result("overhead", [table], notes=[f"The executor adds {ours - theirs:.2f} µs a node and pass."])


def executor(x: torch.Tensor, dy: torch.Tensor) -> Callable[[], torch.Tensor]:
    """The passes as a training step runs them, which keep only what is needed."""
    net = Network(dict.fromkeys(range(NODES), ReLU()), {k: [k + 1] for k in range(-1, NODES - 1)}, seed=0)
    plan, last = net.engine.plan(net.outputs), NODES - 1
    how = Backward(lambda entry, gradients: None)
    back, parameters = net.engine.backward_plan(plan, net.outputs, [-1]), net.engine.store.by_node

    @torch.inference_mode()
    def call() -> torch.Tensor:
        trace = run_forward(plan, parameters, {-1: x}, Forward(training=True))
        return run_backward(back, parameters, trace, {plan.index[last]: dy}, how)[plan.inputs[-1]]

    return call


def bare(x: torch.Tensor, dy: torch.Tensor) -> Callable[[], torch.Tensor]:
    """The kernels alone."""
    relu, threshold_backward = torch.relu, torch.ops.aten.threshold_backward.default

    @torch.inference_mode()
    def call() -> torch.Tensor:
        y, saved = x, []
        for _ in range(NODES):
            y = relu(y)
            saved.append(y)
        dx = dy
        while saved:
            dx = threshold_backward(dx, saved.pop(), 0)
        return dx

    return call
