"""Recording of training steps, and their replay once it has been verified against the operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.execution.agreement import same_numbers
from graphdl.execution.engine import Engine
from graphdl.execution.passes import Trace
from graphdl.execution.recorder import Recorder, recording
from graphdl.execution.replay import Bound, Replay, may_gain, replay_bytes
from graphdl.execution.state import Snapshot
from graphdl.execution.tape import Slot, Tape, exchange
from graphdl.execution.training_passes import TrainingPasses
from graphdl.graph import Key

Layout: TypeAlias = tuple[tuple[torch.Size, torch.dtype], ...]

SIGHTS = 3
"""The step on batches of one layout from which on steps are recorded."""

STEPS_A_SIGHT = 1000
"""The number of operators for which recording starts one step later: it costs about ten times as much as a step."""

MOST_RECORDINGS = 8
"""The number of layouts whose steps are recorded at most."""

MOST_LAYOUTS = 4096
"""The number of layouts whose steps are counted at most."""


def layout_of(inputs: Mapping[Key, Tensor]) -> Layout:
    """The shapes and types of a batch: batches of different layouts need different calls."""
    return tuple([(tensor.shape, tensor.dtype) for tensor in inputs.values()])


class Recordings:
    """The recordings of a training step, one for each layout of batches that has been seen several times."""

    def __init__(self, engine: Engine, passes: TrainingPasses) -> None:
        self._engine, self._passes = engine, passes
        self._steps = len(passes.plan.forward.steps)
        self._sights: dict[Layout, int] = {}
        self._held: dict[Layout, Recording | None] = {}

    def find(self, inputs: Mapping[Key, Tensor]) -> Recording | None:
        """The recording for a batch; None if its steps are made by the operators."""
        layout = layout_of(inputs)
        if layout in self._held:
            held = self._held[layout]
            if held is not None and not held.useful:
                held = self._held[layout] = None  # and its memory is free
            return held
        seen = self._sights.get(layout, 0)
        if seen or len(self._sights) < MOST_LAYOUTS:
            self._sights[layout] = seen + 1
        if seen + 1 < SIGHTS + self._steps // STEPS_A_SIGHT or len(self._held) >= MOST_RECORDINGS:
            return None
        worth = may_gain(self._steps, sum(tensor.nbytes for tensor in inputs.values()))
        held = self._held[layout] = Recording(self._engine, self._passes, inputs) if worth else None
        return held


class Recording:
    """The calls of a training step on batches of one layout.

    Two steps are recorded while the operators make them. If both recordings are equal, the third step is made by the
    operators and by a replay, from the same state. If all numbers are equal, steps are replayed from then on.

    useful    whether it may be used: the recordings are equal, no number was read in Python, and a replay saves time
    replayed  whether the calls are bound and verified
    """

    def __init__(self, engine: Engine, passes: TrainingPasses, inputs: Mapping[Key, Tensor]) -> None:
        self._engine, self._passes = engine, passes
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        self._given = list(self._inputs.values())
        self._tapes: list[Tape] = []
        self._values: list[Any] = []
        self._forward: list[Bound] = []
        self._backward: list[Bound] = []
        self._trace = Trace([])
        self.useful, self.replayed = True, False

    def __call__(self, inputs: Mapping[Key, Tensor], between: Callable[[Trace], None]) -> None:
        """Make a step; `between` is called with the values after forward."""
        torch._foreach_copy_(self._given, [inputs[name] for name in self._inputs])
        if not self.replayed and len(self._tapes) == 2 and self._verify():
            self.replayed = True
        if self.replayed:
            self._replay(between)
        elif len(self._tapes) < 2:
            self._record(between)
        else:
            self.useful = False
            self._by_operators(between)

    def _replay(self, between: Callable[[Trace], None]) -> None:
        try:
            for call in self._forward:
                call()
        except Exception:
            self._passes.forward(self._inputs)  # says what happened and where
            raise
        between(self._trace)
        for call in self._backward:
            call()

    def _by_operators(self, between: Callable[[Trace], None], **backward: Any) -> Trace:
        trace = self._passes.forward(self._inputs)
        between(trace)
        values = list(trace.values)
        self._passes.backward(trace, self._starts(trace), **backward)
        return Trace(values)

    def _starts(self, trace: Trace) -> dict[int, Tensor]:
        return self._engine.loss_starts(self._passes.plan.forward, trace.values)

    def _record(self, between: Callable[[Trace], None]) -> None:
        """Make a step by the operators and record it."""
        with recording() as recorder, self._moves(recorder.call):

            def pause(trace: Trace) -> None:
                self._split = len(recorder.calls)
                with recorder.paused():
                    between(trace)

            trace = self._by_operators(pause)
        self._keep(recorder, trace)

    def _keep(self, recorder: Recorder, trace: Trace) -> None:
        """Keep a recording; the second one must be equal to the first."""
        values = exchange(trace.values, Tensor, recorder.slot)
        tape = recorder.tape()
        self._tapes.append(tape)
        if len(self._tapes) == 2:
            self.useful = tape.same_as(self._tapes[0]) and values == self._values
        self._values = values
        copied = sum(tensor.nbytes for tensor in self._given)
        if tape.obstacle or (len(self._tapes) == 1 and replay_bytes(tape, self._kept(), copied) is None):
            self.useful = False

    def _kept(self) -> list[Slot]:
        found: list[Slot] = []
        exchange(self._values, Slot, found.append)
        return found

    def _verify(self) -> bool:
        """Bind the calls, and compare their results with those of the operators, without updating a parameter."""
        tape, expected, found = self._tapes[-1], Observation(), Observation()
        with Snapshot(self._engine), self._moves(expected.take):
            self._by_operators(lambda trace: expected.take_all(trace.values))
            expected.take_all(self._engine.store.buffers.values())
        with Snapshot(self._engine):
            replay = Replay(tape, self._kept(), self._engine.device)
            self._forward = replay.bind(0, self._split, found.take)
            self._trace = Trace(exchange(self._values, Slot, replay.tensor))
            found.take_all(self._trace.values)
            self._backward = replay.bind(self._split, len(tape.calls), found.take)
            found.take_all(self._engine.store.buffers.values())
        return found.agrees_with(expected)

    @contextmanager
    def _moves(self, call: Callable[..., None]) -> Iterator[None]:
        """A context in which another function is called in place of the updates of parameters."""
        usual, self._passes.call = self._passes.call, call
        try:
            yield
        finally:
            self._passes.call = usual


class Observation:
    """The results of a step: the values of targets, the gradients given to each update, and the buffers."""

    def __init__(self) -> None:
        self._seen: list[Tensor] = []

    def take(self, move: Any, *gradients: Tensor) -> None:
        """Keep the gradients of an update, without making it."""
        self.take_all(gradients or move.gradients.values())

    def take_all(self, values: Any) -> None:
        """Keep copies of tensors, and of those in tuples."""
        for value in values:
            if isinstance(value, Tensor):
                self._seen.append(value.clone())
            elif isinstance(value, tuple):
                self.take_all(value)

    def agrees_with(self, other: Observation) -> bool:
        """Whether all numbers are equal; nan equals nan."""
        return len(self._seen) == len(other._seen) and all(
            a.shape == b.shape and a.dtype == b.dtype and same_numbers(a, b)
            for a, b in zip(self._seen, other._seen, strict=True)
        )
