"""One training step: forward, backward, update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from graphdl.errors import NonFiniteError, UnreachableError
from graphdl.execution.passes import Backward, Forward, Trace, run_backward, run_forward
from graphdl.execution.recompute import check_recompute, make_recomputation
from graphdl.execution.training_passes import Gathered, TrainingPasses
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.blame import blame
from graphdl.training.recording import Recordings
from graphdl.training.scoring import Score, Scorer, rows_of
from graphdl.training.threads import choose_threads


class TrainingStep:
    """Forward, backward and update on one batch, computing only what the losses and the parameters need.

    Nothing is kept of the values. A loss that is not finite raises NonFiniteError, and leaves parameters and buffers as
    they were. Steps of small networks of graphdl's own operators are recorded and replayed, once a layout of batches has
    been seen several times; custom operators are called in every step.

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
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []

    @property
    def ready(self) -> bool:
        """Whether a step was made on the network as it is."""
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
        found: list[Score] = []

        def between(trace: Trace) -> None:
            found.append(self._score(inputs, trace))
            self.stepper.count_step()

        recorded = None if self._custom else self._recordings.find(inputs)
        if recorded is not None:
            recorded(inputs, between)
        else:
            trace = self._passes.forward(inputs)
            between(trace)
            self._passes.backward(trace, self.net.engine.loss_starts(self._plan, trace.values))
        return found[-1]

    def _score(self, inputs: Mapping[Key, Tensor], trace: Trace) -> Score:
        score = self.scorer(self._plan, inputs, trace)
        if not math.isfinite(score.loss):
            raise NonFiniteError(blame(self.net, inputs, score.loss))
        return score

    def _first(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Plan the passes, anew when a callback has frozen or moved something, and make one step."""
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
        how = Forward(training=True, generator=engine.chance, recompute=again, check=True)
        trace = run_forward(self._plan, parameters, inputs, how)
        score = self._score(inputs, trace)
        gathered = Gathered(plan, parameters)
        starts = engine.loss_starts(self._plan, trace.values)
        run_backward(plan, parameters, trace, starts, Backward(gathered, recompute=again))
        moves = self.stepper.moves([owner for owner in plan.owners if owner in gathered.by_node], plan.shared)
        self.stepper.count_step()
        moves([gathered.of(extent) for extent in moves.extents])
        self._passes = TrainingPasses(plan, parameters, engine.chance, moves, again)
        self._recordings = Recordings(engine, self._passes)
        self._custom = any(is_custom(step.operator) for step in self._plan.steps)
        self._version = engine.version
        return score


def is_custom(operator: object) -> bool:
    """Whether an operator's class is not graphdl's own."""
    return not type(operator).__module__.startswith("graphdl.operators.")
