"""Layers and directions: the base class of RNN, LSTM and GRU.

It handles lengths, and dropout between layers, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from torch import Generator, Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import Known, KnownSizes
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Parameter, Values, constant
from graphdl.operators.recurrence.recurrences import Sent, States, cells
from graphdl.operators.recurrence.recurrent import Recurrent
from graphdl.operators.recurrence.recurrent_weights import layer_parameters, weights
from graphdl.operators.recurrence.sequences import NAMES, Ends, Kept, Lengths, run, run_back
from graphdl.operators.shared.masks import random_mask


class Saved(NamedTuple):
    """What a recurrent operator keeps for backward.

    ways   of each layer in each direction
    masks  of dropout (layers - 1, t, n, directions o), or None
    given  whether each input after the first was there
    batch  whether the inputs have a batch axis
    """

    ways: list[Kept]
    masks: Tensor | None
    lengths: Lengths | None
    given: tuple[bool, ...]
    batch: bool


class Stacked(Recurrent):
    """Layers of a recurrence, in one direction or two. The settings are those of LSTM."""

    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """The number of directions and the size of a state."""
        return 2 if self.bidirectional else 1, int(self.hidden_size or 0)

    @cached_property
    def suffixes(self) -> list[list[str]]:
        """How the names of the parameters end, for each layer in each direction."""
        return [[f"_l{k}", f"_l{k}_reverse"][: self.sizes[0]] for k in range(self.num_layers)]

    def parameters(self) -> dict[str, Parameter]:
        (directions, o), found = self.sizes, dict[str, Parameter]()
        for k, suffixes in enumerate(self.suffixes):
            i = directions * o if k else int(self.input_size or 0)
            for suffix in suffixes:
                found |= layer_parameters(self.recurrence.gates, i, o, self.weight, self.bias, suffix)
        return found

    def infer(self, *shapes: Any) -> Self:
        if len(shapes[0]) not in (2, 3):
            raise ShapeError(f"the input has {len(shapes[0])} axes")
        return self if self.input_size is not None else replace(self, input_size=shapes[0][-1])  # type: ignore[type-var]

    def propagate(self, *inputs: Any) -> Known:
        inputs[0].expect(-1, self.input_size)
        directions, o = self.sizes
        states = 1 + self.recurrence.has_cells
        return KnownSizes({-1: directions * o}), *(KnownSizes({-1: o}) for _ in range(states))

    def draw(self, *inputs: Any, generator: Generator | None) -> Tensor | None:
        """The masks of the outputs that remain, for all layers but the last."""
        if not self.dropout or self.num_layers == 1:
            return None
        shape, (directions, o) = inputs[0].shape, self.sizes
        t, n = self._steps_and_rows(shape)
        return random_mask((self.num_layers - 1, t, n, directions * o), self.dropout, generator, inputs[0].device)

    def forward(
        self, p: Values, x: Tensor, *others: Tensor | None, training: bool, drawn: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], Saved]:
        batch, given = x.dim() == 3, dict(zip(self.slots[1:], others, strict=False))
        self.check_inputs(x, given)
        masks = drawn
        if training and drawn is None:
            masks = self.draw(x, generator=None)
        first = [self._first(x, given.get(name)) for name in ("h_0", "c_0")[: 1 + self.recurrence.has_cells]]
        lengths, x = None, self._time_first(x, batch)
        if (given_lengths := given.get("lengths")) is not None:
            lengths = Lengths(given_lengths, len(x))
            x = lengths.cut(x)
        ways: list[Kept] = []
        ends: list[Ends] = []
        for layer, suffixes in enumerate(self.suffixes):
            if masks is not None and layer:
                x = self._dropped(x, masks[layer - 1])
            for direction, suffix in enumerate(suffixes):
                states = States(*(each[len(ways)] for each in first))
                end, kept = run(self.recurrence, weights(p, suffix), x, states, direction == 1, lengths, training)
                ways.append(kept)
                ends.append(end)
            ys = [end.ys for end in ends[-len(suffixes) :]]
            x = ys[0] if len(ys) == 1 else torch.cat(ys, -1)
        last = [
            torch.stack(states)
            for states in ([end.h for end in ends], [end.c for end in ends if end.c is not None])
            if states
        ]
        last = last if batch else [each.squeeze(1) for each in last]
        saved = Saved(ways, masks, lengths, tuple(each is not None for each in others), batch)
        return (self._as_given(x, batch), *last), saved

    def backward(self, p: Values, saved: Saved, dy: Sequence[Tensor | None], needs: Needs = EVERYTHING) -> Gradients:
        ways, saved = list(saved.ways), saved._replace(ways=[])  # so that what a layer kept can be freed after it
        batch, (directions, _) = saved.batch, self.sizes
        dx = None if dy[0] is None else self._time_first(dy[0], batch)
        last = [[None] * len(ways) if d is None else (d if batch else d.unsqueeze(1)).unbind() for d in dy[1:]]
        first: list[States] = []
        dps: Values = {}
        for layer, suffixes in reversed(list(enumerate(self.suffixes))):
            dys = [None] * directions if dx is None else dx.chunk(directions, -1)
            dx, states = None, []
            for direction, suffix in enumerate(suffixes):
                k = layer * directions + direction
                h, c = last[0][k], last[1][k] if len(last) > 1 else None
                sent = Sent(dys[direction], h, c, first=any(saved.given))
                wanted = _needs(needs, suffix, bool(layer))
                part, state, found = run_back(
                    self.recurrence, weights(p, suffix), ways[k], sent, direction == 1, saved.lengths, wanted
                )
                dx = part if dx is None or part is None else dx.add_(part)
                states.append(state)
                dps |= {name + suffix: gradient for name, gradient in found.items()}
            first = states + first
            del ways[layer * directions :]
            if saved.masks is not None and layer and dx is not None:
                dx = self._dropped(dx, saved.masks[layer - 1])
        return (None if dx is None else self._as_given(dx, batch), *self._before(first, saved, needs)), dps

    def check_inputs(self, x: Tensor, others: dict[str, Tensor | None]) -> None:
        """Raise ShapeError for inputs of other shapes than `expects` names, which torch would stretch or cast."""
        directions, o = self.sizes
        if x.dim() not in (2, 3):
            raise ShapeError(f"the input has {x.dim()} axes")
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                f"the input has {x.shape[-1]} features in its last axis, and input_size is {self.input_size}"
            )
        t, n = self._steps_and_rows(x.shape)
        if not t:
            raise ShapeError("the input has no steps")
        state = (directions * self.num_layers, n, o) if x.dim() == 3 else (directions * self.num_layers, o)
        for name, each in others.items():
            if each is None:
                continue
            if name == "lengths":
                check_lengths(each, n if x.dim() == 3 else None)
            elif each.shape != state:
                note = "; batch_first does not concern it" if self.batch_first else ""
                raise ShapeError(f"{name} must have the shape {state}, (directions · layers, n, hidden_size){note}")
            elif each.dtype != x.dtype:
                raise ShapeError(f"{name} has the type {each.dtype}, but the input has {x.dtype}")

    def expects(self, *inputs: Tensor) -> str:
        directions, o = self.sizes
        i, count = self.input_size or "i", directions * self.num_layers
        axes = "n, t" if self.batch_first else "t, n"
        hint = "" if self.batch_first else "; batch_first=True takes (n, t, i)"
        states = " and ".join(self.slots[1:-1])
        return (
            f"an input ({axes}, {i}), or (t, {i}) without a batch{hint}; optional {states} ({count}, n, {o}), or "
            f"({count}, {o}) without a batch; optional lengths (n), integers from 1 to t"
        )

    def _steps_and_rows(self, shape: Sequence[int]) -> tuple[int, int]:
        if len(shape) == 2:
            return shape[0], 1
        return (shape[1], shape[0]) if self.batch_first else (shape[0], shape[1])

    def _time_first(self, x: Tensor, batch: bool) -> Tensor:
        """(t, n, ...) of an input, or of the gradient of an output."""
        if not batch:
            return x.unsqueeze(1)
        return x.transpose(0, 1) if self.batch_first else x

    def _as_given(self, x: Tensor, batch: bool) -> Tensor:
        """The axes as the input has them."""
        if not batch:
            return x.squeeze(1)
        return x.transpose(0, 1) if self.batch_first else x

    def _first(self, x: Tensor, given: Tensor | None) -> Sequence[Tensor]:
        """The first state (n, o) of each layer in each direction; zeros if it is not given."""
        directions, o = self.sizes
        if given is None:
            return [constant(0.0, x, self._steps_and_rows(x.shape)[1], o)] * (directions * self.num_layers)
        return (given if x.dim() == 3 else given.unsqueeze(1)).unbind()

    def _before(self, first: Sequence[States], saved: Saved, needs: Needs) -> list[Tensor | None]:
        """The gradients of the inputs after the first: of the first states, where they were given."""
        found: list[Tensor | None] = []
        for name, given in zip(self.slots[1:], saved.given, strict=False):
            if name == "lengths" or not given or name not in needs:
                found.append(None)
                continue
            gradient = torch.stack([cells(states) if name == "c_0" else states.h for states in first])
            found.append(gradient if saved.batch else gradient.squeeze(1))
        return found

    def _dropped(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.mul(x, mask).mul_(1 / (1 - self.dropout) if self.dropout < 1 else 0.0)


def check_lengths(lengths: Tensor, rows: int | None) -> None:
    """Raise ShapeError unless they are integers, one for each row."""
    if rows is None:
        raise ShapeError("lengths need a batch axis in the input")
    if lengths.shape != (rows,):
        raise ShapeError(f"lengths must have the shape ({rows},), a number for each row")
    if (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool) and not lengths.is_meta:
        raise ShapeError(f"lengths are {lengths.dtype}, not integers: give lengths.long()")


def _needs(needs: Needs, suffix: str, deep: bool) -> Needs:
    """What is needed of one layer in one direction, by short names; a deep layer's input always is."""
    found = {name: needs[name + suffix] for name in NAMES if name + suffix in needs}
    return found | ({"input": None} if deep or "input" in needs else {})
