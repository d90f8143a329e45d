"""A training step on tensors that stay where they are: recorded to be compiled, and made to verify the compiled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from graphdl.cpp import Roles
from graphdl.errors import CompileError
from graphdl.execution.agreement import Outcome
from graphdl.execution.chance import Chance, Outlines, outline
from graphdl.execution.engine import Engine
from graphdl.execution.passes import Backward, Forward, run_backward, run_forward
from graphdl.execution.plan import Step
from graphdl.execution.recorder import Recorder, recording
from graphdl.execution.state import Snapshot
from graphdl.execution.tape import Slot, Tape
from graphdl.execution.training_passes import GroupMove, ParameterGradients, TrainingPasses
from graphdl.graph import Key

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


class PlacedStep:
    """A step by the operators and the optimizer's formula, on a batch, random numbers and settings in fixed places.

    chance   draws its random numbers
    outlines  index -> shape and type of each value, found by a rehearsal where they are not given
    moving   what each step is given: the batch, what was drawn, and the optimizer's numbers
    """

    def __init__(
        self,
        engine: Engine,
        passes: TrainingPasses,
        moves: CompilableMoves,
        example: Batch,
        outlines: Outlines | None = None,
    ) -> None:
        self._engine, self._passes, self._moves = engine, passes, moves
        self._batch = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in example.items()}
        lengths = {len(tensor) if tensor.dim() else 0 for tensor in self._batch.values()}
        self._rows = lengths.pop() if len(lengths) == 1 else 0
        self.outlines = outlines or self._rehearse(example)
        self.chance = Chance(passes.plan.forward, self.outlines, engine.chance)
        self._drawn = [torch.empty_like(each) for each in self.chance.examples]
        self._row = moves.numbers(1)[0].clone()

    @property
    def moving(self) -> list[Tensor]:
        """What each step is given."""
        return [*self._batch.values(), *self._drawn, self._row]

    def places(self) -> list[Tensor]:
        """The tensors on which a step works, in an order that depends on nothing but the structure of the network."""
        engine, moves, plan = self._engine, self._moves, self._passes.plan.forward
        gradients = [tensor for group in moves.groups for tensor in group.gradients.values()]
        starts = engine.loss_starts(plan, {i: outline(*each) for i, each in self.outlines.items()})
        weights = [engine.weight(key) for key in engine.losses]
        return [
            *moves.changed, *engine.store.buffers.values(), *gradients, *weights, *starts.values(), *self.moving
        ]  # fmt: skip

    def _rehearse(self, example: Batch) -> Outlines:
        """Run both passes once, without an update; return the shape and type of each value, by index.

        Raises CompileError if a parameter that trains gets no gradient: the operators leave it where it is.
        """
        engine, plan, parameters = self._engine, self._passes.plan, self._engine.store.by_node
        for key in engine.losses:
            engine.weight(key)  # makes it, outside the recordings
        how = Forward(training=True, keep_values=True, generator=engine.chance)
        with Snapshot(engine):
            trace = run_forward(plan.forward, parameters, example, how)
            values, gathered = list(trace.values), ParameterGradients(plan, parameters)
            run_backward(plan, parameters, trace, engine.loss_starts(plan.forward, values), Backward(gathered))
        if gathered.by_node.keys() != set(plan.owners):
            raise CompileError("an operator passes no gradient on")
        return {i: (value.shape, value.dtype) for i, value in enumerate(values) if isinstance(value, Tensor)}

    def record(self, batch: Batch) -> tuple[Tape, Roles]:
        """Record a step, and leave everything as it was."""
        with self.snapshot():
            self.load(batch, self.chance.draw_one())
            with recording() as recorder:
                results = self.make(recorder)
                roles = self._roles(recorder, [recorder.slot(each) for each in results])
        if recorder.obstacle:
            raise CompileError(recorder.obstacle)
        return recorder.tape(), roles

    def snapshot(self) -> Snapshot:
        """All that a step changes, as it is."""
        return Snapshot(self._engine, self._moves.changed)

    def load(self, batch: Batch, drawn: Sequence[Tensor]) -> None:
        """Put what the next step is given into its places."""
        for name, tensor in self._batch.items():
            tensor.copy_(batch[name])
        for held, tensor in zip(self._drawn, drawn, strict=True):
            held.copy_(tensor)
        self._row.copy_(self._moves.numbers(1)[0])

    def make(self, recorder: Recorder | None = None) -> list[Tensor]:
        """Make a step by the operators and the optimizer's formula; return the total loss and the targets' values."""
        engine, passes, plan = self._engine, self._passes, self._passes.plan.forward
        drawn = dict(zip(self.chance.positions, self._drawn, strict=True))
        position = {step.writes: k for k, step in enumerate(plan.steps)}
        usual, passes.call = passes.call, _leave
        try:

            def note(step: Step, xs: object = None) -> Step:
                if recorder is not None:
                    recorder.origin = step.name
                return step

            def draw(step: Step, xs: object) -> Tensor | None:
                return drawn.get(position[step.writes])

            trace = passes.forward(self._batch, draw=draw, before=note)
            losses = [(engine.weight(key), trace.values[plan.index[key]]) for key in engine.losses]
            total = reduce(torch.add, [weight * (loss.sum() if loss.dim() else loss) for weight, loss in losses])
            values = [trace.values[plan.index[key]] for key in plan.targets]
            if any(not isinstance(value, Tensor) for value in values):
                raise CompileError("a tuple is a prediction")
            # what the update changes is handed out as it was before
            values = [value.clone() if recorder is None or recorder.is_given(value) else value for value in values]
            passes.backward(trace, engine.loss_starts(plan, trace.values), before=note)
            self._guard = len(recorder.calls) if recorder is not None else 0
            self._moves.formula(self._row)
        finally:
            passes.call = usual
        return [total, *values]

    def _roles(self, recorder: Recorder, results: Sequence[Slot]) -> Roles:
        def storages(tensors: Any) -> tuple[int, ...]:
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
        """What a step has computed: its results, and copies of what it has changed."""
        names = ["the loss", *(f"the value of {key!r}" for key in self._passes.plan.forward.targets)]
        kept = {f"the state of the optimizer, {k}": each.clone() for k, each in enumerate(self._moves.changed[1:], 1)}
        by_node = self._engine.store.by_node
        gradients = {place: tensor for group in self._moves.groups for place, tensor in group.gradients.items()}
        return Outcome(
            dict(zip(names, results, strict=True)),
            kept,
            {name: buffer.clone() for name, buffer in self._engine.store.buffers.items()},
            {f"{node}.{name}": tensor.clone() for (node, name), tensor in gradients.items()},
            {f"{node}.{name}": by_node[node][name].clone() for node, name in gradients},
        )

    def moved(self, before: Snapshot, seed: int) -> Outcome:
        """What a step from there computes by the operators, with every parameter moved by its rounding."""
        before.restore()
        generator = torch.Generator().manual_seed(seed)
        for parameter in self._engine.store.parameters.values():
            signs = torch.randint(2, parameter.shape, generator=generator) * 2 - 1
            parameter.mul_(1 + signs * torch.finfo(parameter.dtype).eps)
        return self.outcome([result.clone() for result in self.make()])


def _leave(move: object, *gradients: Tensor) -> None:
    """Make no move: the formula does it."""
