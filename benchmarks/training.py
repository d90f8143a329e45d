"""Training steps on a given batch, for any net and its twin: step() -> the loss before the update."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from benchmarks.timing import Absent
from graphdl import Network
from graphdl.errors import CompileError
from graphdl.optim import Adam
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

Batch: TypeAlias = dict[str, Tensor]
Step: TypeAlias = Callable[[], float]

LR = 1e-4


def graphdl_step(net: Network, batch: Batch) -> Step:
    """What fit does with a batch."""
    step = TrainingStep(net, Adam(lr=LR).bind(net), Scorer(net, ()))

    @torch.inference_mode()
    def call() -> float:
        return step(batch).loss

    return call


def graphdl_compiled(net: Network, batch: Batch, steps: int = 1) -> Step:
    """So many compiled steps a call, as fit(compile=True) makes them; the last loss."""
    try:
        compiled = net.compile(Adam(lr=LR), batch)
    except CompileError as error:
        raise Absent(f"fit(compile=True) goes step by step here: {error}") from None
    block = {name: tensor.expand(steps, *tensor.shape).contiguous() for name, tensor in batch.items()}

    def call() -> float:
        return float(compiled(block)[-1])

    return call


def torch_step(module: nn.Module, batch: Batch, *, fused: bool = True, compiled: bool = False) -> Step:
    """autograd and torch.optim.Adam on a module whose forward returns the loss."""
    optimizer = torch.optim.Adam(module.parameters(), lr=LR, fused=fused or None)
    compute = torch.compile(module) if compiled else module

    def call() -> float:
        optimizer.zero_grad()
        loss = compute(**batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    return call


def same_first_loss(ours: Step, theirs: Step, tolerance: float = 1e-4) -> float:
    """Make a step with both; return by how much their losses differ, in parts of the loss. Raises if it is much."""
    a, b = ours(), theirs()
    difference = abs(a - b) / max(abs(b), 1e-12)
    if difference > tolerance:
        raise ValueError(f"the first losses differ: {a} and {b}")
    return difference
