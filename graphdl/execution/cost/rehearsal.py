"""A training step on tensors without data, by the programs that make the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from graphdl.execution.cost.meter import Meter
from graphdl.execution.cost.nests import bytes_of, storage_of, tensors
from graphdl.execution.cost.scratch import bytes_within
from graphdl.execution.derived import calls_torch_only
from graphdl.execution.executor import GroupMove, ParameterMoves, Trace, TrainingRun
from graphdl.execution.parameters import ParameterStore
from graphdl.execution.plan import BackwardPlan
from graphdl.execution.recompute import Recomputation
from graphdl.execution.recorded.placing import replay_bytes
from graphdl.execution.recorded.tape import Call, Recorder, Slot, exchange
from graphdl.graph import Key


class Rule(Protocol):
    """An optimizer: what binds to a network, or to whatever has its engine's store."""

    def bind(self, net: Any) -> Any:
        """The optimizer at work."""
        ...

    def state(self, w: Tensor) -> Sequence[Tensor]:
        """The vectors that it keeps."""
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
class Room:
    """The room of all gradients where no optimizer moves the parameters."""

    nodes: frozenset[Key]
    gradients: dict[tuple[Key, str], Tensor]

    def __call__(self) -> None:
        """Nothing: the gradients stay where they are."""


@dataclass
class Uncounted:
    """A group whose operations are not counted."""

    group: GroupMove
    meter: Meter

    def __post_init__(self) -> None:
        self.nodes, self.gradients = self.group.nodes, self.group.gradients

    def __call__(self) -> None:
        """Move the parameters."""
        quiet(self.group, self.meter)()


@dataclass
class Rehearsed:
    """Moves whose operations are not counted."""

    groups: Sequence[GroupMove]
    single: dict[tuple[Key, str], Callable[[Tensor], None]]


def quiet(move: Callable[..., None], meter: Meter) -> Callable[..., None]:
    """A call whose operations are not counted."""

    def call(*arguments: Tensor) -> None:
        counted, meter.flops = meter.flops, Counter()
        move(*arguments)
        meter.flops = counted

    return call


class Rehearsal:
    """A network's training step on meta tensors.

    starts     index -> the gradient from which a loss starts
    optimizer  None leaves the gradients where they are

    held   the bytes that stay from step to step
    saved  position of a step -> the bytes that it keeps for backward and none before it has kept
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
        self._starts, self._device, self._meter = starts, device, Meter(device)
        self._meter.watch((store.flat, store.buffers, inputs, starts))
        with torch.inference_mode(), self._meter:
            self._stepper = None if optimizer is None else optimizer.bind(Hollow(store))
            moves = self._moves()
            self.held = self._meter.live
            self._run = TrainingRun(plan, store.by_node, Generator(), moves, recompute)
            self._step()  # makes what stays
            self._meter.flops.clear()
            self._meter.peak = self._meter.live
            self.saved = self._step()
            self.peak = self._meter.peak
        replayed = self._peak_of_replay()
        self.replayed, self.peak = replayed is not None, replayed or self.peak
        self.state_itemsize = 0 if optimizer is None else sum(each.itemsize for each in optimizer.state(store.flat))

    def _moves(self) -> ParameterMoves:
        owners = self.plan.owners
        if self._stepper is None:
            extents = [extent for run in self.store.runs(owners) for extent in run]
            room = {(extent.node, extent.name): self.store.flat.new_zeros(extent.shape) for extent in extents}
            return Rehearsed([Room(frozenset(owners), room)], {})
        moves: ParameterMoves = self._stepper.moves(owners, together=self.plan.shared)
        single = {name: quiet(move, self._meter) for name, move in moves.single.items()}
        return Rehearsed([Uncounted(group, self._meter) for group in moves.groups], single)

    def _step(self) -> Counter[int]:
        """Make a step; return what it saved."""
        trace = self._run.forward(self.inputs)
        saved = self._newly_saved(trace)
        if self._stepper is not None:
            self._stepper.count_step()
        self._run.backward(trace, self._starts)
        return saved

    def flops(self) -> tuple[Counter[Key], Counter[Key]]:
        """Node -> operations, of forward and of backward."""
        found: tuple[Counter[Key], Counter[Key]] = Counter(), Counter()
        for by_node, program in zip(found, self._run.programs, strict=True):
            for line, step in program.steps.items():
                by_node[step.key] += self._meter.flops[line]
        return found

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
        if not all(calls_torch_only(type(step.operator)) for step in self.plan.forward.steps):
            return None
        kept: list[int] = []
        with torch.inference_mode(), Recorder() as recorder:
            trace = self._run.forward(self.inputs)
            exchange(exchange(trace.values, Tensor, recorder.stand_in), Slot, lambda slot: kept.append(slot.index))
            self._run.backward(trace, self._starts)
        buffers = replay_bytes(recorder.calls, kept, self.inputs.values())
        if not recorder.fixed or buffers is None:
            return None
        return self.held + bytes_of(self.inputs) + buffers + most_copied(recorder.calls, self._device)


def most_copied(calls: Sequence[Call], device: torch.device) -> int:
    """The most that a call makes anew when it is replayed, where no form of it writes into given tensors."""
    layouts = dict(made for call in calls for made in call.made)
    most = 0
    for call in calls:
        if not (call.is_view or call.name.startswith(("empty", "new_empty")) or call.writes):
            args = exchange(call.args, Slot, lambda slot: layouts[slot.index].empty())
            made = [layout.empty() for _, layout in call.made]
            results = [*[None] * (call.results - len(made)), *made]
            most = max(most, bytes_within(call.name, args, results, device))
    return most
