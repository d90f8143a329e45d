"""One training step: forward, backward, update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import NonFiniteError, OperatorError, UnreachableError
from graphdl.execution.executor import run_backward, run_forward
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.scoring import Score, Scorer, rows_of
from graphdl.training.threads import choose_threads


class TrainingStep:
    """Forward, backward and update on one batch, computing only what the losses and the parameters need.

    Nothing is recorded. A loss that is not finite raises NonFiniteError before a parameter is changed.
    """

    def __init__(self, net: Network, stepper: Stepper, scorer: Scorer, threads: int | None = None) -> None:
        self.net, self.stepper, self.scorer, self.threads = net, stepper, scorer, threads
        self._version = -1
        self._available = torch.get_num_threads()

    def __call__(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Train on the inputs, tensors on the network's device; return their score before the update."""
        if self._version != self.net.engine.version:
            self._make_plans(inputs)
        trace = run_forward(self._plan, self._parameters, inputs, training=True, generator=self.net.engine.chance)
        score = self.scorer(self._plan, inputs, trace)
        if not math.isfinite(score.loss):
            raise NonFiniteError(blame(self.net, inputs, score.loss))
        starts = self.net.engine.loss_starts(self._plan, trace.values)
        try:
            found = run_backward(self._backward_plan, self._parameters, trace, starts)
        except OperatorError:
            self._explain(inputs)
            raise
        reached = self._backward_plan.owners
        if len(found.parameters) < len(reached):
            reached = frozenset(found.parameters)
        self.stepper.apply(reached, found.of(self.stepper.moving(reached)))
        return score

    def _explain(self, inputs: Mapping[Key, Tensor]) -> None:
        """Repeat a backward pass that failed, recorded: whose gradient was wrong is seen then, and raised."""
        self.net.forward(inputs)
        self.net.backward()

    def _make_plans(self, inputs: Mapping[Key, Tensor]) -> None:
        """Plan the passes, anew when a callback has frozen or moved something, and take the threads they are worth."""
        engine = self.net.engine
        self._version = engine.version
        self._parameters = engine.store.by_node
        self._plan = engine.plan(self.scorer.targets)
        self._backward_plan = engine.backward_plan(self._plan, self.net.losses)
        engine.remember(inputs)
        if not self._backward_plan.owners:
            raise UnreachableError(
                "There is nothing to train: no parameter that is not frozen reaches a loss. Unfreeze a node, or look "
                "at the connectivity by print(net.summary())."
            )
        torch.set_num_threads(self.threads or choose_threads(self.net, rows_of(inputs), self._available))


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
    copies = {node: {name: t.clone() for name, t in held.items()} for node, held in net.engine.store.by_node.items()}
    trace = run_forward(plan, copies, inputs, training=True, keep_values=True, keep_saved=False)
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
