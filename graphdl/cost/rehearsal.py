"""A training step on tensors without data, by the passes that make the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from graphdl.cost.nests import bytes_of, bytes_once, storage_of, tensors
from graphdl.cost.operations import bytes_of_call, operations, peak_bytes
from graphdl.execution.passes import Trace
from graphdl.execution.plan import BackwardPlan, Step
from graphdl.execution.recompute import Recomputation
from graphdl.execution.recorder import Recorder, recording
from graphdl.execution.replay import is_empty, replay_bytes, writes
from graphdl.execution.tape import Slot, Tape, exchange
from graphdl.execution.training_passes import GroupMove, ParameterMoves, TrainingPasses
from graphdl.graph import Key
from graphdl.parameters import Name, ParameterStore


class Rule(Protocol):
    """An optimizer: what binds to a network, or to whatever has its engine's store."""

    def bind(self, net: Any) -> Any:
        """The optimizer at work."""
        ...


@dataclass
class Hollow:
    """What an optimizer asks of a network: the engine's store. Here without data."""

    store: ParameterStore

    @property
    def engine(self) -> Hollow:
        """Itself."""
        return self


@dataclass
class Unmoved:
    """Moves, and the one group of them, where no optimizer moves the parameters: the gradients stay where they are."""

    nodes: frozenset[Key]
    gradients: dict[Name, Tensor]
    single: dict[Name, Callable[[Tensor], None]] = field(default_factory=dict)

    @property
    def groups(self) -> Sequence[GroupMove]:
        """Itself."""
        return [self]

    def __call__(self) -> None:
        """Do nothing."""


class Rehearsal:
    """A network's training step on meta tensors.

    starts     index -> the gradient from which a loss starts
    optimizer  None leaves the gradients where they are

    held   the bytes that stay from step to step
    saved  position of a step -> the bytes that it keeps for backward and none before it has kept
    flops  node -> operations, of forward and of backward
    peak   the most bytes that live at once in a step
    replayed  whether fit replays the step, in buffers that stay
    """

    def __init__(
        self,
        plan: BackwardPlan,
        store: ParameterStore,
        inputs: Mapping[Key, Tensor],
        starts: Mapping[int, Any],
        optimizer: Rule | None,
        recompute: Recomputation | None,
        device: torch.device,
    ) -> None:
        self.plan, self.store, self.inputs, self.recompute = plan, store, inputs, recompute
        self._starts, self._device = starts, device
        with torch.inference_mode():
            self._stepper = None if optimizer is None else optimizer.bind(Hollow(store))
            moves = self._moves()
            states = () if self._stepper is None else self._stepper.memory()
            room = [list(group.gradients.values()) for group in moves.groups]
            self.held = bytes_once((store.flat, store.buffers, inputs, starts, states, room))
            self._passes = TrainingPasses(plan, store.by_node, Generator(), moves, recompute)
            self._step()  # makes what stays
            self._measure()
        replayed = self._peak_of_replay()
        self.replayed = replayed is not None
        self.peak: int = self.peak if replayed is None else replayed
        flat = store.flat.numel()  # vectors as long as that hold gaps; a matrix of all parameters does not
        kept = [(each.nbytes, flat if each.numel() == flat else store.count) for each in tensors(states[:1])]
        self.state_itemsize = sum(size // max(1, count) for size, count in kept)

    def _moves(self) -> ParameterMoves:
        owners = self.plan.owners
        if self._stepper is None:
            extents = [extent for run in self.store.runs(owners) for extent in run]
            room = {(extent.node, extent.name): self.store.flat.new_zeros(extent.shape) for extent in extents}
            return Unmoved(frozenset(owners), room)
        moves: ParameterMoves = self._stepper.moves(owners, together=self.plan.shared)
        return moves

    def _step(
        self, before: Callable[[Step], None] | None = None, between: Callable[[Trace], None] | None = None
    ) -> None:
        """Make a step; `before` is called with each step of both passes, `between` between these."""

        def forward(step: Step, xs: Sequence[Any]) -> None:
            if before is not None:
                before(step)

        trace = self._passes.forward(self.inputs, before=forward)
        if between is not None:
            between(trace)
        if self._stepper is not None:
            self._stepper.count_step()
        self._passes.backward(trace, self._starts, before=before)

    def _measure(self) -> None:
        """Make a step, and measure its calls."""
        spans: list[tuple[int, Key | None]] = []
        split = 0
        self.saved: Counter[int] = Counter()

        def between(trace: Trace) -> None:
            nonlocal split
            self.saved, split = self._newly_saved(trace), len(recorder.calls)

        def move(function: Callable[..., None], *tensors: Tensor) -> None:
            spans.append((len(recorder.calls), None))  # an update counts for no node
            function(*tensors)
            spans.append((len(recorder.calls), spans[-2][1]))

        with recording() as recorder:
            self._passes.call, usual = move, self._passes.call
            self._step(lambda step: spans.append((len(recorder.calls), step.key)), between)
            self._passes.call = usual
        tape = recorder.tape()
        self.peak = max(self.held, peak_bytes(tape, self._device))
        self.flops: tuple[Counter[Key], Counter[Key]] = Counter(), Counter()
        ends = [position for position, _ in spans[1:]] + [len(tape.calls)]
        for (start, key), end in zip(spans, ends, strict=True):
            if key is not None:
                for position in range(start, end):
                    self.flops[position >= split][key] += operations(tape.calls[position])

    def _newly_saved(self, trace: Trace) -> Counter[int]:
        """Position of a step -> the bytes of what it saved, each piece of memory once."""
        seen = {storage_of(tensor) for tensor in tensors((self.store.flat, self.store.buffers, self.inputs))}
        found: Counter[int] = Counter()
        kept = self.recompute.inputs if self.recompute else ()
        held = [(i - len(self.plan.forward.inputs), trace.values[i]) for i in kept]
        for k, saved in [*enumerate(trace.saved), *(pair for pair in held if pair[0] >= 0)]:
            for tensor in tensors(saved):
                if storage_of(tensor) not in seen:
                    seen.add(storage_of(tensor))
                    found[k] += tensor.untyped_storage().nbytes()
        return found

    def _peak_of_replay(self) -> int | None:
        """The peak of a step that fit replays in buffers, beside a copy of the batch; None if it does not."""
        kept: list[Slot] = []
        with torch.inference_mode(), recording() as recorder:
            self._passes.call, usual = recorder.call, self._passes.call
            self._step(between=lambda trace: keep_slots(recorder, trace, kept))
            self._passes.call = usual
        tape = recorder.tape()
        buffers = replay_bytes(tape, kept, bytes_of(self.inputs))
        if tape.obstacle or buffers is None:
            return None
        return self.held + bytes_of(self.inputs) + buffers + most_copied(tape, self._device)


def keep_slots(recorder: Recorder, trace: Trace, kept: list[Slot]) -> None:
    """Add the slots of the values that a forward pass keeps."""
    exchange(exchange(trace.values, Tensor, recorder.slot), Slot, kept.append)


def most_copied(tape: Tape, device: torch.device) -> int:
    """The most that a call makes anew when it is replayed, where no form of it writes into given tensors."""
    copies = [call for call in tape.calls if call.name and not is_empty(call) and not writes(call)]
    return max((bytes_of_call(call, device) for call in copies), default=0)
