"""One step of a recurrence: the base class of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import Known, KnownSizes
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Parameter, Values, constant
from graphdl.operators.recurrence.recurrences import (
    Sent,
    States,
    halves,
    input_gradient,
    parameter_gradients,
)
from graphdl.operators.recurrence.recurrent import Recurrent
from graphdl.operators.recurrence.recurrent_weights import layer_parameters, weights


class Saved(NamedTuple):
    """What a cell keeps for backward: x (1, n, i), the states, and what the recurrence kept.

    given  whether each state was there; batch says whether the inputs have a batch axis
    """

    x: Tensor
    states: States
    kept: Any
    given: tuple[bool, ...]
    batch: bool


class Cell(Recurrent):
    """One step of a recurrence. The settings are those of LSTMCell."""

    def parameters(self) -> dict[str, Parameter]:
        sizes = int(self.input_size or 0), int(self.hidden_size or 0)
        return layer_parameters(self.recurrence.gates, *sizes, self.weight, self.bias, "")

    def infer(self, *shapes: Any) -> Self:
        if len(shapes[0]) not in (1, 2):
            raise ShapeError(f"the input has {len(shapes[0])} axes")
        return self if self.input_size is not None else replace(self, input_size=shapes[0][-1])  # type: ignore[type-var]

    def propagate(self, *inputs: Any) -> Known:
        inputs[0].expect(-1, self.input_size)
        states = [KnownSizes({-1: int(self.hidden_size or 0)}) for _ in range(1 + self.recurrence.has_cells)]
        return tuple(states) if self.recurrence.has_cells else states[0]

    def forward(self, p: Values, x: Tensor, *others: Tensor | None, training: bool) -> tuple[Any, Saved]:
        self.check_inputs(x, others)
        batch, rows = x.dim() == 2, x.shape[:-1].numel()
        count, o = 1 + self.recurrence.has_cells, int(self.hidden_size or 0)
        states = States(*(x.new_empty(2, rows, o) for _ in range(count)))
        for state, first in zip(states, (*others, None, None), strict=False):
            if state is not None:
                state[0].copy_(constant(0.0, x) if first is None else first)
        x = x.reshape(1, rows, x.shape[-1])
        kept = self.recurrence.forward(weights(p, ""), x, states, False)
        ends = tuple(state[1] if batch else state[1, 0] for state in states[:count] if state is not None)
        saved = Saved(x, states, kept, tuple(each is not None for each in others), batch)
        return ends if self.recurrence.has_cells else ends[0], saved

    def backward(self, p: Values, saved: Saved, dy: Any, needs: Needs = EVERYTHING) -> Gradients:
        x, states, kept, given, batch = saved
        dys: Sequence[Tensor | None] = dy if self.recurrence.has_cells else (dy,)
        w, sent = weights(p, ""), [d if d is None or batch else d.unsqueeze(0) for d in dys]
        back = self.recurrence.backward(
            w, kept, states, Sent(None, sent[0], sent[1] if len(sent) > 1 else None, first=any(given)), False
        )
        before, _ = halves(states.h, False)
        dps = parameter_gradients(self.recurrence, back.gates, x, before, w, needs)
        dx = input_gradient(self.recurrence, w, back.gates)[0] if "input" in needs else None
        dxs = [dx, *(d if was else None for d, was in zip((back.h, back.c), given, strict=False))]
        return [d if d is None or batch else d[0] for d in dxs], dps

    def check_inputs(self, x: Tensor, states: Sequence[Tensor | None]) -> None:
        """Raise ShapeError for inputs of other shapes than `expects` names, which torch would stretch or cast."""
        if x.dim() not in (1, 2):
            raise ShapeError(f"the input has {x.dim()} axes")
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                f"the input has {x.shape[-1]} features in its last axis, and input_size is {self.input_size}"
            )
        shape = (*x.shape[:-1], self.hidden_size)
        for name, each in zip(self.slots[1:], states, strict=False):
            if each is not None and each.shape != shape:
                raise ShapeError(f"{name} must have the shape {shape}")
            if each is not None and each.dtype != x.dtype:
                raise ShapeError(f"{name} has the type {each.dtype}, but the input has {x.dtype}")

    def expects(self, *inputs: Tensor) -> str:
        i, o, states = self.input_size or "i", self.hidden_size, " and ".join(self.slots[1:])
        return f"an input (n, {i}) and optional {states} (n, {o}), or ({i}) and ({o}) without a batch"
