"""One training step: forward, backward, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

import torch
from torch import Tensor

from graphdl.errors import NonFiniteError, SettingError, UnreachableError
from graphdl.execution.passes import Backward, Forward, Trace, run_backward, run_forward
from graphdl.execution.plan import Plan
from graphdl.execution.recompute import make_recomputation
from graphdl.execution.state import Snapshot
from graphdl.execution.training_passes import ParameterGradients, TrainingPasses
from graphdl.graph import Key, check_recompute
from graphdl.network import Network
from graphdl.operators import Weighted
from graphdl.optim import Stepper
from graphdl.optim.gradients import Gathering
from graphdl.optim.moves import Moves
from graphdl.registry import defined_outside
from graphdl.training.blame import blame
from graphdl.training.memory import keep_freed_memory
from graphdl.training.recording import Recordings
from graphdl.training.scoring import Score, Scorer
from graphdl.training.threads import choose_threads


class TrainingStep:
    """Forward, backward and update on one batch, computing only what the losses and the parameters need.

    Values are not kept. A loss that is not finite raises NonFiniteError, and leaves parameters and buffers as they
    were. Steps of built-in operators are recorded and replayed where that saves time, after several batches of the same
    shapes; a network with a custom operator is always run by its operators.

    recompute  nodes that keep nothing for backward, which computes them again
    gathering  operations on all gradients: their mean over batches, clipping
    together   whether all parameters are updated together, as in a compiled step
    """

    def __init__(
        self,
        net: Network,
        stepper: Stepper,
        scorer: Scorer,
        threads: int | None = None,
        recompute: Iterable[Key] = (),
        gathering: Gathering | None = None,
        together: bool = False,
    ) -> None:
        self.net, self.stepper, self.scorer, self.threads = net, stepper, scorer, threads
        self._gathering, self.together = gathering, together
        self._again = check_recompute(net.graph, net.losses, recompute)
        self._status, self._version = net.engine.status, -1
        self.plan: Plan
        self.moves: Moves
        self._available = torch.get_num_threads()
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []
        keep_freed_memory()

    @property
    def ready(self) -> bool:
        """Whether the passes are bound to the network in its present state."""
        return self._version == self._status.version

    def __call__(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Train on the inputs, tensors on the network's device; return the score before the update."""
        if not self.ready:
            self._hold_buffers()
        elif self._buffers:
            torch._foreach_copy_(self._before, self._buffers)
        try:
            return self._step(inputs) if self.ready else self._first(inputs)
        except NonFiniteError:
            for buffer, before in zip(self._buffers, self._before, strict=True):
                buffer.copy_(before)
            raise

    def _hold_buffers(self) -> None:
        """Keep copies of the buffers, which a step that fails gets back."""
        self._buffers = list(self.net.buffers.values())
        self._before = [buffer.clone() for buffer in self._buffers]

    def _step(self, inputs: Mapping[Key, Tensor]) -> Score:
        found: list[Score] = []

        def between(trace: Trace) -> None:
            found.append(self._score(inputs, trace))
            self.moves.start()

        self.make(inputs, between)
        return found[-1]

    def make(self, inputs: Mapping[Key, Tensor], between: Callable[[Trace], None]) -> None:
        """Make a step with the passes as they are bound; `between` is called after forward and starts the update."""
        recorded = None if self.custom else self._recordings.find(inputs)
        if recorded is not None:
            recorded(inputs, between)
        else:
            trace = self.passes.forward(inputs)
            between(trace)
            self.passes.backward(trace, self.net.engine.loss_starts(self.plan, trace.values))

    def _score(self, inputs: Mapping[Key, Tensor], trace: Trace) -> Score:
        score = self.scorer(self.plan, inputs, trace)
        if not math.isfinite(score.loss):
            raise NonFiniteError(blame(self.net, inputs, score.loss))
        return score

    @property
    def may_change(self) -> bool:
        """Whether an operator, the optimizer or a penalty is custom, and may make other calls from epoch to epoch."""
        penalties = () if self._gathering is None else self._gathering.penalties
        custom = self.custom if self.ready else has_custom(self.net.engine.plan(self.scorer.targets))
        return custom or any(map(is_custom, (self.stepper.optimizer, *penalties)))

    @property
    def uniform(self) -> bool:
        """Whether it makes an update with every batch, and does the same in every epoch."""
        every = self._gathering is None or self._gathering.accumulate == 1
        return every and not self.may_change

    def move_apart(self) -> None:
        """Update large parameters one by one during backward from the next step on: no step is compiled."""
        self.together, self._version = False, -1

    def finish(self) -> None:
        """Make an update of the accumulated gradients that were not used yet, if there are any."""
        if self.ready:
            self.moves.finish()

    def prepare(self, inputs: Mapping[Key, Tensor], all_reached: bool = False) -> None:
        """Prepare steps on such batches without making one: the network is left as it was.

        all_reached  every parameter that trains gets a gradient, as is known from a network of the same structure
        """
        if all_reached:
            self._plan(inputs)
            reached = set(self._backward_plan.owners)
        else:
            with Snapshot(self.net.engine):
                reached = set(self._try(inputs, lambda trace: None).by_node)
        self._bind(reached)
        self._hold_buffers()

    def _first(self, inputs: Mapping[Key, Tensor]) -> Score:
        """Plan the passes, again after a callback has frozen or moved something, and make one step."""
        found: list[Score] = []
        gathered = self._try(inputs, lambda trace: found.append(self._score(inputs, trace)))
        self._bind(set(gathered.by_node))
        self.moves.step([gathered.of(extent) for extent in self.moves.extents])
        return found[-1]

    def _plan(self, inputs: Mapping[Key, Tensor]) -> None:
        """Plan the passes on such batches."""
        engine = self.net.engine
        self.plan = engine.plan(self.scorer.targets)
        plan = self._backward_plan = engine.backward_plan(self.plan, self.net.losses)
        engine.remember(inputs)
        if not plan.owners:
            raise UnreachableError(
                "There is nothing to train: no parameter that is not frozen reaches a loss. Unfreeze a node, or check "
                "the connectivity with print(net.summary())."
            )
        torch.set_num_threads(self.threads or choose_threads(self.net, inputs, self._available))
        self._recomputation = make_recomputation(plan, self._again)

    def _try(self, inputs: Mapping[Key, Tensor], between: Callable[[Trace], None]) -> ParameterGradients:
        """Run both passes without an update; `between` is called after forward."""
        self._plan(inputs)
        engine, plan = self.net.engine, self._backward_plan
        parameters = engine.store.by_node
        how = Forward(training=True, generator=engine.chance, recompute=self._recomputation, check=True)
        trace = run_forward(self.plan, parameters, inputs, how)
        between(trace)
        gathered = ParameterGradients(plan, parameters)
        starts = engine.loss_starts(self.plan, trace.values)
        run_backward(plan, parameters, trace, starts, Backward(gathered, recompute=self._recomputation))
        return gathered

    def _bind(self, reached: Collection[Key]) -> None:
        """Bind passes and updates to the tensors of the network; only parameters that have a gradient are updated."""
        if self._version >= 0 and self._gathering is not None and self.moves.pending:
            raise SettingError(
                f"The network has changed after {self.moves.pending} of {self._gathering.accumulate} batches of an "
                "update, and their gradients would be lost. Freeze nodes or move the network at the end of an epoch, "
                "or after an update."
            )
        engine, plan = self.net.engine, self._backward_plan
        moved = [owner for owner in plan.owners if owner in reached]
        together = moved if self.together else plan.shared
        self.moves = self.stepper.moves(moved, together, self._gathering)
        self.passes = TrainingPasses(plan, engine.store.by_node, engine.chance, self.moves, self._recomputation)
        self._recordings = Recordings(engine, self.passes)
        self.custom = has_custom(self.plan)
        self._version = engine.version


def has_custom(plan: Plan) -> bool:
    """Whether a plan has custom operators."""
    return any(is_custom(step.operator) for step in plan.steps)


def is_custom(maker: object) -> bool:
    """Whether an operator, the loss that it weights, or an optimizer is a custom one."""
    return defined_outside(maker.loss if isinstance(maker, Weighted) else maker)
