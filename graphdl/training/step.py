"""One training step: forward, backward, update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import NonFiniteError
from graphdl.execution.executor import run_backward, run_forward
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.scoring import Score, Scorer


class TrainingStep:
    """Forward, backward and update on one batch, computing only what the losses and the parameters need.

    Nothing is recorded. A loss that is not finite raises NonFiniteError before anything is changed.
    """

    def __init__(self, net: Network, stepper: Stepper, scorer: Scorer) -> None:
        self.net, self.stepper, self.scorer = net, stepper, scorer

    @torch.inference_mode()
    def __call__(self, batch: Mapping[Key, Any]) -> Score:
        """Train on the batch; return its score before the update."""
        engine, stepper = self.net.engine, self.stepper
        plan, inputs = engine.prepare(batch, self.scorer.targets)
        by_node = engine.store.by_node
        trace = run_forward(plan, by_node, inputs, training=True)
        score = self.scorer(plan, inputs, trace)
        if not math.isfinite(score.loss):
            raise NonFiniteError(blame(self.net, inputs, score.loss))
        starts = engine.loss_starts(plan, trace.values)
        found = run_backward(engine.backward_plan(plan, self.net.losses), by_node, trace, starts)
        owners = frozenset(found.parameters)
        gradients: list[Tensor] = [found.of(extent) for extent in stepper.moving(owners)]  # type: ignore[misc]
        stepper.apply(owners, gradients)
        return score


def blame(net: Network, inputs: Mapping[Key, Tensor], loss: float) -> str:
    """Name what first became infinite or not a number: an input, a parameter, or the node that computed it."""
    text = f"The loss is {loss}"
    for name, tensor in inputs.items():
        if not torch.isfinite(tensor).all():
            return f"{text}: the input {name!r} holds numbers that are not finite. Clean the data."
    for name, tensor in net.parameters.items():
        if not torch.isfinite(tensor).all():
            return (
                f"{text}: the parameter {name} is not finite any more, since its gradient overflowed in an earlier "
                "step. Lower the learning rate or scale the data."
            )
    plan = net.engine.plan(net.losses)
    trace = run_forward(plan, net.engine.store.by_node, inputs, training=True, keep_values=True, keep_saved=False)
    for step in plan.steps:
        if not _finite(trace.values[step.writes]):
            return (
                f"{text}: {step.key} ({type(step.operator).__name__}) is the first node whose value is not finite, "
                "from finite inputs. The parameters are as they were before this step. Lower the learning rate, "
                "scale the data, or look at what this node computes."
            )
    return f"{text}: every node is finite when computed again; an operator draws random numbers."


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_finite(element) for element in value)
    return bool(torch.isfinite(value).all())
