"""One training step: forward, backward, update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import NonFiniteError, OperatorError, UnreachableError
from graphdl.execution.derived import calls_torch_only
from graphdl.execution.executor import Trace, TrainingRun, run_backward, run_forward
from graphdl.execution.recompute import check_recompute, make_recomputation
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.blame import blame
from graphdl.training.recording import Recording, layout_of
from graphdl.training.scoring import Score, Scorer, rows_of
from graphdl.training.threads import choose_threads


class TrainingStep:
    """Forward, backward and update on one batch, computing only what the losses and the parameters need.

    Nothing is kept of the values. A loss that is not finite raises NonFiniteError, and leaves parameters and buffers as
    they were. The first step checks what the operators return. The second one of a small network of recordable
    operators is recorded, and those after it on batches of the same shapes are replayed.

    recompute  nodes that keep nothing for backward, which computes them again
    """

    def __init__(
        self,
        net: Network,
        stepper: Stepper,
        scorer: Scorer,
        threads: int | None = None,
        recompute: Iterable[Key] = (),
    ) -> None:
        self.net, self.stepper, self.scorer, self.threads = net, stepper, scorer, threads
        self._again = check_recompute(net.graph, net.losses, recompute)
        self._version = -1
        self._available = torch.get_num_threads()
        self._recordings: dict[Any, Recording | None] = {}
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []

    @property
    def ready(self) -> bool:
        """Whether a step was made on the network as it is, with every check."""
        return self._version == self.net.engine.version

    def __call__(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Train on the inputs, tensors on the network's device; return their score before the update."""
        if not self.ready:
            self._buffers = list(self.net.buffers.values())
            self._before = [buffer.clone() for buffer in self._buffers]
        elif self._buffers:
            torch._foreach_copy_(self._before, self._buffers)
        try:
            return self._step(inputs) if self.ready else self._first(inputs)
        except NonFiniteError:
            for buffer, before in zip(self._buffers, self._before, strict=True):
                buffer.copy_(before)
            raise

    def _step(self, inputs: Mapping[Key, Tensor]) -> Score:
        layout = layout_of(inputs)
        recording = self._recordings.get(layout)
        if recording is None:
            if self._recordable and layout not in self._recordings:
                self._recordings[layout] = recording = Recording(inputs)
            else:
                return self._by_operators(inputs)
        return self._recorded(recording, inputs)

    def _by_operators(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Step from operator to operator."""
        trace = self._run.forward(inputs)
        score = self._score(inputs, trace)
        self._backward(inputs, trace)
        return score

    def _backward(self, inputs: Mapping[Key, Tensor], trace: Trace) -> None:
        starts = self.net.engine.loss_starts(self._plan, trace.values)
        self.stepper.count_step()
        try:
            self._run.backward(trace, starts)
        except OperatorError:
            self._explain(inputs)
            raise

    def _recorded(self, recording: Recording, inputs: Mapping[Key, Tensor]) -> Score:
        """Record a step, or replay it."""
        try:
            trace = recording.forward(self._run.forward, inputs)
        except Exception:
            self._run.forward(inputs)  # says what happened and where
            raise
        score = self._score(inputs, trace)
        recording.backward(partial(self._backward, inputs), trace)
        if not recording.of_use:
            self._recordings[layout_of(inputs)] = None
        return score

    def _score(self, inputs: Mapping[Key, Tensor], trace: Trace) -> Score:
        score = self.scorer(self._plan, inputs, trace)
        if not math.isfinite(score.loss):
            raise NonFiniteError(blame(self.net, inputs, score.loss))
        return score

    def _first(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Plan the passes, anew when a callback has frozen or moved something, and make one step with every check."""
        engine = self.net.engine
        self._plan = engine.plan(self.scorer.targets)
        plan = engine.backward_plan(self._plan, self.net.losses)
        engine.remember(inputs)
        if not plan.owners:
            raise UnreachableError(
                "There is nothing to train: no parameter that is not frozen reaches a loss. Unfreeze a node, or look "
                "at the connectivity by print(net.summary())."
            )
        torch.set_num_threads(self.threads or choose_threads(self.net, rows_of(inputs), self._available))
        parameters = engine.store.by_node
        again = make_recomputation(plan, self._again)
        trace = run_forward(self._plan, parameters, inputs, training=True, generator=engine.chance, recompute=again)
        score = self._score(inputs, trace)
        try:
            starts = engine.loss_starts(self._plan, trace.values)
            found = run_backward(plan, parameters, trace, starts, recompute=again)
        except OperatorError:
            self._explain(inputs)
            raise
        moves = self.stepper.moves([owner for owner in plan.owners if owner in found.parameters], plan.shared)
        self.stepper.count_step()
        moves(found.of(moves.extents))
        self._run = TrainingRun(plan, parameters, engine.chance, moves, again)
        self._recordings.clear()
        self._recordable = all(calls_torch_only(type(step.operator)) for step in self._plan.steps)
        self._version = engine.version
        return score

    def _explain(self, inputs: Mapping[Key, Tensor]) -> None:
        """Repeat a backward pass that failed, recorded: whose gradient was wrong is seen then, and raised."""
        self.net.forward(inputs)
        self.net.backward()
