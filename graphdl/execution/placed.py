"""Passes and training steps on tensors that stay where they are: recorded to be compiled, and made to verify that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from graphdl.cpp import Roles
from graphdl.errors import CompileError
from graphdl.execution.agreement import Outcome
from graphdl.execution.chance import Chance, Outlines, outline
from graphdl.execution.engine import Engine
from graphdl.execution.passes import Backward, Forward, Trace, run_backward, run_forward
from graphdl.execution.plan import Plan, Step
from graphdl.execution.recorder import Recorder, recording
from graphdl.execution.state import Snapshot
from graphdl.execution.tape import Slot, Tape
from graphdl.execution.training_passes import GroupMove, ParameterGradients, TrainingPasses
from graphdl.graph import Key
from graphdl.parameters import Name

Batch: TypeAlias = Mapping[Key, Tensor]


class CompilableMoves(Protocol):
    """What moves all parameters together, and knows the formula by which it does so."""

    @property
    def groups(self) -> Sequence[GroupMove]:
        """The calls that move parameters; their gradients are written first."""
        ...

    @property
    def changed(self) -> list[Tensor]:
        """The tensors that an update changes."""
        ...

    def formula(self, row: Tensor) -> None:
        """Make the update in tensor functions, by a row of numbers."""
        ...

    def numbers(self, count: int) -> Tensor:
        """The numbers of the next updates, a row for each."""
        ...

    def advance(self, count: int) -> None:
        """Count updates that were made elsewhere."""
        ...


class PlacedPass:
    """A pass in inference mode, on a batch in a fixed place, that computes the targets of a plan.

    rehearsing  runs it once; a network whose structure has been recorded before needs no rehearsal
    """

    def __init__(self, engine: Engine, plan: Plan, example: Batch, rehearsing: bool = True) -> None:
        self._engine, self._plan = engine, plan
        self._batch = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in example.items()}
        lengths = {len(tensor) if tensor.dim() else 0 for tensor in self._batch.values()}
        self._rows = lengths.pop() if len(lengths) == 1 else 0
        self._own: list[Tensor] = []
        self.outlines: Outlines = {}
        self.steps_at_once = 2**31
        for key in engine.losses:
            engine.weight(key)  # makes it, outside the recordings
        if rehearsing:  # so that constants which operators keep are made outside the recordings, too
            run_forward(plan, engine.store.by_node, example, Forward(training=False, saving=()))

    @property
    def moving(self) -> list[Tensor]:
        """What each pass is given, the batch first."""
        return [*self._batch.values(), *self._own]

    @property
    def changed(self) -> list[Tensor]:
        """The tensors that it changes or depends on, the vector of parameters first."""
        return [self._engine.store.flat]

    @property
    def gradients(self) -> dict[Name, Tensor]:
        """(node, name) -> the gradient of each parameter that it moves."""
        return {}

    def draw(self, count: int) -> list[Tensor]:
        """What the next passes are given beside their batches, (count, ...) each."""
        return []

    def keep(self, made: int) -> None:
        """Undo what the last `draw` has drawn for other passes than the first ones."""

    def advance(self, count: int) -> None:
        """Count what compiled code has made."""

    def places(self) -> list[Tensor]:
        """The tensors on which it works, in an order that depends on nothing but the structure of the network."""
        weights = [self._engine.weight(key) for key in self._engine.losses]
        buffers = self._engine.store.buffers.values()
        return [*self.changed, *buffers, *self.gradients.values(), *weights, *self.moving]

    def snapshot(self) -> Snapshot:
        """All that it changes, as it is."""
        return Snapshot(self._engine, self.changed)

    def load(self, batch: Batch) -> None:
        """Put what the next pass is given into its places."""
        for name, tensor in self._batch.items():
            tensor.copy_(batch[name])
        for held, drawn in zip(self._own, self.draw(1), strict=True):
            held.copy_(drawn[0])
        self.keep(1)

    def record(self, batch: Batch) -> tuple[Tape, Roles]:
        """Record it, and leave everything as it was."""
        with self.snapshot():
            self.load(batch)
            with recording() as recorder:
                results = self.make(recorder)
                roles = self._roles(recorder, [recorder.slot(each) for each in results])
        if recorder.obstacle:
            raise CompileError(recorder.obstacle)
        return recorder.tape(), roles

    def make(self, recorder: Recorder | None = None) -> list[Tensor]:
        """Make it by the operators; return the total loss and the targets' values."""
        how = Forward(training=False, saving=(), before=_noting(recorder))
        trace = run_forward(self._plan, self._engine.store.by_node, self._batch, how)
        results = self._results(trace, recorder)
        self._guard = len(recorder.calls) if recorder is not None else 0
        return results

    def _results(self, trace: Trace, recorder: Recorder | None) -> list[Tensor]:
        """The total loss and the targets' values, as they are before an update."""
        engine, index = self._engine, self._plan.index
        losses = [(engine.weight(key), trace.values[index[key]]) for key in engine.losses]
        total = reduce(torch.add, [weight * (loss.sum() if loss.dim() else loss) for weight, loss in losses])
        values = [trace.values[index[key]] for key in self._plan.targets]
        if any(not isinstance(value, Tensor) for value in values):
            raise CompileError("a tuple is a prediction")
        return [total, *(v.clone() if recorder is None or recorder.is_given(v) else v for v in values)]

    def _roles(self, recorder: Recorder, results: Sequence[Slot]) -> Roles:
        def storages(tensors: Iterable[Tensor]) -> tuple[int, ...]:
            return tuple(recorder.slot(tensor).storage for tensor in tensors)

        return Roles(
            moving=storages(self.moving),
            working=storages(self._engine.store.buffers.values()),
            guard=self._guard,
            finite=results[0],
            results=tuple(results),
            chosen=storages(self._batch.values()) if self._rows else (),
            rows=self._rows,
        )

    def outcome(self, results: Sequence[Tensor]) -> Outcome:
        """What it has computed: its results, and copies of what it has changed."""
        names = ["the loss", *(f"the value of {key!r}" for key in self._plan.targets)]
        kept = {f"the state of the optimizer, {k}": each.clone() for k, each in enumerate(self.changed[1:], 1)}
        by_node = self._engine.store.by_node
        return Outcome(
            dict(zip(names, results, strict=True)),
            kept,
            {name: buffer.clone() for name, buffer in self._engine.store.buffers.items()},
            {f"{node}.{name}": tensor.clone() for (node, name), tensor in self.gradients.items()},
            {f"{node}.{name}": by_node[node][name].clone() for node, name in self.gradients},
        )

    def moved(self, before: Snapshot, seed: int) -> Outcome:
        """What it computes from there by the operators, with every parameter moved by its rounding."""
        before.restore()
        generator = torch.Generator().manual_seed(seed)
        for parameter in self._engine.store.parameters.values():
            signs = torch.randint(2, parameter.shape, generator=generator) * 2 - 1
            parameter.mul_(1 + signs * torch.finfo(parameter.dtype).eps)
        return self.outcome([result.clone() for result in self.make()])


class PlacedStep(PlacedPass):
    """A training step by the operators and the optimizer's formula.

    It is given the batch, what operators draw, and the optimizer's numbers.

    outlines  index -> shape and type of each value, found by a rehearsal where they are not given
    """

    def __init__(
        self,
        engine: Engine,
        passes: TrainingPasses,
        moves: CompilableMoves,
        example: Batch,
        outlines: Outlines | None = None,
    ) -> None:
        super().__init__(engine, passes.plan.forward, example, rehearsing=False)
        self._passes, self._moves = passes, moves
        self.outlines = outlines or self._rehearse(example)
        self._chance = Chance(self._plan, self.outlines, engine.chance)
        self.steps_at_once = self._chance.steps_at_once
        self._own = [*map(torch.empty_like, self._chance.examples), moves.numbers(1)[0].clone()]

    @property
    def changed(self) -> list[Tensor]:
        """The tensors that it changes: parameters, and what the optimizer keeps."""
        return self._moves.changed

    @property
    def gradients(self) -> dict[Name, Tensor]:
        """(node, name) -> the gradient of each parameter that it moves."""
        return {name: tensor for group in self._moves.groups for name, tensor in group.gradients.items()}

    def draw(self, count: int) -> list[Tensor]:
        """What operators draw in the next steps, and the numbers of their updates."""
        return [*self._chance.draw(count), self._moves.numbers(count)]

    def keep(self, made: int) -> None:
        """Undo what the last `draw` has drawn for other steps than the first ones."""
        self._chance.keep(made)

    def advance(self, count: int) -> None:
        """Count the updates that compiled code has made."""
        self._moves.advance(count)

    def places(self) -> list[Tensor]:
        """The tensors on which it works, in an order that depends on nothing but the structure of the network."""
        values = {i: outline(*each) for i, each in self.outlines.items()}
        return [*super().places(), *self._engine.loss_starts(self._plan, values).values()]

    def _rehearse(self, example: Batch) -> Outlines:
        """Run both passes once, without an update; return the shape and type of each value, by index.

        Raises CompileError if a parameter that trains gets no gradient: the operators leave it where it is.
        """
        engine, plan, parameters = self._engine, self._passes.plan, self._engine.store.by_node
        how = Forward(training=True, keep_values=True, generator=engine.chance)
        with Snapshot(engine):
            trace = run_forward(plan.forward, parameters, example, how)
            values, gathered = list(trace.values), ParameterGradients(plan, parameters)
            run_backward(plan, parameters, trace, engine.loss_starts(plan.forward, values), Backward(gathered))
        if gathered.by_node.keys() != set(plan.owners):
            raise CompileError("an operator passes no gradient on")
        return {i: (value.shape, value.dtype) for i, value in enumerate(values) if isinstance(value, Tensor)}

    def make(self, recorder: Recorder | None = None) -> list[Tensor]:
        """Make it by the operators and the formula; return the total loss and the targets' values."""
        engine, passes, plan, note = self._engine, self._passes, self._plan, _noting(recorder)
        drawn = dict(zip(self._chance.positions, self._own, strict=False))
        position = {step.writes: k for k, step in enumerate(plan.steps)}
        usual, passes.call = passes.call, _leave
        try:

            def draw(step: Step, xs: object) -> Tensor | None:
                return drawn.get(position[step.writes])

            trace = passes.forward(self._batch, draw=draw, before=note)
            results = self._results(trace, recorder)
            passes.backward(trace, engine.loss_starts(plan, trace.values), before=note)
            self._guard = len(recorder.calls) if recorder is not None else 0
            self._moves.formula(self._own[-1])
        finally:
            passes.call = usual
        return results


def _noting(recorder: Recorder | None) -> Callable[..., None]:
    """Tells the recorder which node's operator makes the next calls."""

    def note(step: Step, xs: object = None) -> None:
        if recorder is not None:
            recorder.origin = step.name

    return note


def _leave(move: object, *gradients: Tensor) -> None:
    """Make no move: the formula does it."""
