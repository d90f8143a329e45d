"""One recurrent layer in one direction, forward and backward.

The rows may have lengths.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphdl.operators.operator import Needs, Values
from graphdl.operators.recurrence import onednn
from graphdl.operators.recurrence.recurrences import (
    LongShortTerm,
    Recurrence,
    Sent,
    States,
    cells,
    halves,
    input_gradient,
    parameter_gradients,
)
from graphdl.operators.recurrence.recurrent_weights import Weights

NAMES = "weight_ih", "weight_hh", "bias_ih", "bias_hh"


class Lengths:
    """The lengths (n) of the rows of a batch of `count` steps.

    beyond  (t, n, 1), which steps lie beyond their row's length
    last    (n), the position of each row's last step among all t n
    turned  (t n), the positions of the steps when each row runs backward, within its length
    """

    def __init__(self, lengths: Tensor, count: int) -> None:
        rows, lengths = len(lengths), lengths.long()
        times, row = (torch.arange(size, device=lengths.device) for size in (count, rows))
        inside = times[:, None] < lengths
        self.beyond = inside.logical_not()[..., None]
        self.last = torch.add(row, lengths - 1, alpha=rows)
        turned = torch.where(inside, lengths - 1 - times[:, None], times[:, None])
        self.turned = torch.add(row, turned, alpha=rows).flatten()

    def cut(self, x: Tensor) -> Tensor:
        """A new tensor (t, n, ...) that is 0 beyond the lengths."""
        return x.masked_fill(self.beyond, 0)

    def turn(self, x: Tensor) -> Tensor:
        """Each row backward, within its length."""
        return x.flatten(0, 1).index_select(0, self.turned).view(x.shape)

    def end(self, x: Tensor) -> Tensor:
        """The last step of each row."""
        return x.flatten(0, 1).index_select(0, self.last)

    def add_end(self, x: Tensor, dx: Tensor | None) -> Tensor:
        """Add to the last step of each row, in place."""
        if dx is not None:
            x.flatten(0, 1).index_add_(0, self.last, dx)
        return x


class Kept(NamedTuple):
    """What a layer keeps for backward: its input, its states, or what oneDNN returned, and what the recurrence kept."""

    x: Tensor
    states: States
    kept: Any
    made: tuple[Tensor, ...] = ()


class Ends(NamedTuple):
    """The states after each step (t, n, o), the last state (n, o) and the last cell state, if there are any."""

    ys: Tensor
    h: Tensor
    c: Tensor | None = None


def run(
    recurrence: Recurrence, w: Weights, x: Tensor, first: States, reverse: bool, lengths: Lengths | None, training: bool
) -> tuple[Ends, Kept]:
    """Run through the steps of x (t, n, i) from the states `first` (n, o)."""
    if lengths is None and isinstance(recurrence, LongShortTerm) and onednn.is_best(x, w):
        made = onednn.forward(x, w, first.h, cells(first), reverse, training)
        return Ends(*made[:3]), Kept(x, first, None, made)
    if lengths is not None and reverse:
        ends, kept = run(recurrence, w, lengths.turn(x), first, False, lengths, training)
        return ends._replace(ys=lengths.turn(ends.ys)), kept
    cell_states = None if first.c is None else _opened(first.c, len(x), reverse)
    states = States(_opened(first.h, len(x), reverse), cell_states)
    kept = Kept(x, states, recurrence.forward(w, x, states, reverse))
    y, cs = halves(states.h, reverse)[1], None if states.c is None else halves(states.c, reverse)[1]
    if lengths is None:
        last = 0 if reverse else -1
        return Ends(y, y[last], cs if cs is None else cs[last]), kept
    ends = Ends(y, lengths.end(y), cs if cs is None else lengths.end(cs))
    y.masked_fill_(lengths.beyond, 0)
    return ends, kept


def run_back(
    recurrence: Recurrence, w: Weights, kept: Kept, sent: Sent, reverse: bool, lengths: Lengths | None, needs: Needs
) -> tuple[Tensor | None, States, Values]:
    """The gradients of x, of the first states, and of the parameters by their names in NAMES."""
    dx: Tensor | None
    if kept.made:
        h, c = kept.states.h, cells(kept.states)
        dx, *dps, dh, dc = onednn.backward(kept.x, w, h, c, reverse, kept.made, sent[:3])
        named = [(name, dp) for name, p, dp in zip(NAMES, w, dps, strict=True) if p is not None and name in needs]
        return dx, States(dh, dc), {name: _placed(dp, needs[name]) for name, dp in named}
    if lengths is not None and reverse:
        turned = sent if sent.ys is None else sent._replace(ys=lengths.turn(sent.ys))
        dx, states, dp = run_back(recurrence, w, kept, turned, False, lengths, needs)
        return (dx if dx is None else lengths.turn(dx)), states, dp
    before, y = halves(kept.states.h, reverse)
    arriving = sent if lengths is None else _at_ends(sent, y, lengths)
    back = recurrence.backward(w, kept.kept, kept.states, arriving, reverse)
    dx = input_gradient(recurrence, w, back.gates) if "input" in needs else None
    return dx, States(back.h, back.c), parameter_gradients(recurrence, back.gates, kept.x, before, w, needs)


def _placed(gradient: Tensor, place: Tensor | None) -> Tensor:
    """The gradient in its place, so that the kernel's own tensor is free before the next layer."""
    return gradient if place is None else place.copy_(gradient)


def _opened(first: Tensor, count: int, reverse: bool) -> Tensor:
    """Room for the states of so many steps, with the first one in its place."""
    states = first.new_empty((count + 1, *first.shape))
    states[-1 if reverse else 0].copy_(first)
    return states


def _at_ends(sent: Sent, y: Tensor, lengths: Lengths) -> Sent:
    """The gradients of the last states as gradients of the states after each row's last step."""
    dys = torch.zeros_like(y) if sent.ys is None else lengths.cut(sent.ys)
    dcs = None if sent.c is None else lengths.add_end(torch.zeros_like(y), sent.c)
    return Sent(lengths.add_end(dys, sent.h), cs=dcs, first=sent.first)
