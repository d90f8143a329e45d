"""Training steps whose losses stay on the device, so that the host does not wait for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from graphdl.errors import NonFiniteError
from graphdl.execution.passes import Trace
from graphdl.training.batching import Batch
from graphdl.training.blame import blame
from graphdl.training.means import Means
from graphdl.training.scoring import Pair, Score, rows_of
from graphdl.training.step import TrainingStep

GUARDED = {"cuda"}
"""The devices on which to read a number means to wait for all work in the queue."""

MOST_STEPS = 64
"""The number of steps after which their losses are read."""

MOST_BYTES = 2**26
"""How much memory the batches of these steps may take; a copy of each is kept to explain a loss that is not finite."""


@contextmanager
def steps_into(means: Means, step: TrainingStep, at_once: bool) -> Iterator[Callable[[Batch], None]]:
    """A context with a function that makes a step on a batch and adds its losses and metrics to means.

    On a GPU they are read after a block of steps and at the end of the context, unless `at_once`; elsewhere at once.
    """
    if at_once or step.net.device.type not in GUARDED:
        yield lambda inputs: means.add(step(inputs))
        return
    guard = DeviceGuard(means, step)
    try:
        yield guard
    except BaseException:
        guard.settle()
        raise
    guard.read()


class Made(NamedTuple):
    """A step whose loss has not been read: its batch, counts and random generator before its update, and kept pairs."""

    inputs: Batch
    updates: int
    pending: int
    chance: Tensor | None
    kept: Sequence[Pair]


class DeviceGuard:
    """Makes training steps without reading a number on the host; the losses of a block of steps are read together.

    A flag on the device says whether all losses so far were finite. Where it is false, what a step has changed is
    undone on the device: parameters, buffers and the optimizer's state are as they were before the first step whose
    loss is not finite. `read` then raises the error that TrainingStep raises at once, with the same state.
    """

    def __init__(self, means: Means, step: TrainingStep) -> None:
        self._means, self._step = means, step
        self._made: list[Made] = []
        self._figures: list[Tensor] = []
        self._bytes = 0
        self._moves: object = None
        self._good: Tensor
        self._changed: list[Tensor]
        self._before: list[Tensor]

    def __call__(self, inputs: Batch) -> None:
        """Make a step. The first one, and one after the network was changed, is read at once."""
        step = self._step
        if not step.ready:
            self.read()
            return self._means.add(step(inputs))
        if self._moves is not step.moves:
            self._bind()
        torch._foreach_copy_(self._before, self._changed)

        def between(trace: Trace) -> None:
            self._keep(inputs, trace)
            step.moves.start()

        try:
            step.make(inputs, between)
        finally:
            for tensor, before in zip(self._changed, self._before, strict=True):
                torch.where(self._good, tensor, before, out=tensor)
        if len(self._made) >= MOST_STEPS or self._bytes >= MOST_BYTES:
            self.read()

    def _bind(self) -> None:
        """Take the tensors that steps change."""
        step = self._step
        self._moves = step.moves
        self._changed = [*step.moves.changed, *step.net.buffers.values()]
        self._before = [torch.empty_like(tensor) for tensor in self._changed]
        self._good = torch.ones((), dtype=torch.bool, device=step.net.device)

    def _keep(self, inputs: Batch, trace: Trace) -> None:
        """Keep what belongs to a step, after its forward pass; lower the flag if its loss is not finite."""
        step = self._step
        figures = step.scorer.unread(step.plan, inputs, trace)
        self._good &= figures[0].isfinite()
        self._figures.append(figures)
        kept = {name: tensor.clone() for name, tensor in inputs.items()}
        pairs = step.scorer.kept(step.plan, inputs, trace)
        chance = step.net.engine.chance.get_state() if step.plan.drawing else None
        self._made.append(Made(kept, step.stepper.steps, step.moves.pending, chance, pairs))
        self._bytes += sum(tensor.nbytes for tensor in kept.values())

    def read(self) -> None:
        """Add the losses and metrics of the steps since the last call to means.

        Raises NonFiniteError for the first loss that is not finite; that step and all later ones are undone.
        """
        bad = self.settle()
        if bad is not None:
            made, loss = bad
            raise NonFiniteError(blame(self._step.net, made.inputs, loss))

    def settle(self) -> tuple[Made, float] | None:
        """The same without an error: return the first step whose loss is not finite, with its loss."""
        made, figures, self._made, self._figures, self._bytes = self._made, self._figures, [], [], 0
        if not made:
            return None
        for each, (loss, *others) in zip(made, _read(figures), strict=True):
            if not math.isfinite(loss):
                self._go_back(each)
                return each, loss
            names = self._step.scorer.entries[1:]
            self._means.add(Score(loss, rows_of(each.inputs), dict(zip(names, others, strict=True)), each.kept))
        return None

    def _go_back(self, made: Made) -> None:
        """Count updates as before a step, and draw what would be drawn after its forward pass."""
        self._step.moves.go_back(made.updates, made.pending)
        if made.chance is not None:
            self._step.net.engine.chance.set_state(made.chance)
        self._good.fill_(True)


def _read(figures: Sequence[Tensor]) -> list[list[float]]:
    """The losses and metrics of several steps, read together."""
    found: list[list[float]] = torch.stack(list(figures)).tolist()
    return found
