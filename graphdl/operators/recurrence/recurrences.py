"""The recurrences of one layer in one direction.

Each has its loop through time and, directly below, its loop back through time. States stand in one tensor h
(t + 1, n, o), with the initial state first, or last in the reverse direction: the states before all steps and those
after them are two views of it. So are cell states c. The products of the inputs of all steps are made at once before
the loop over time, as are the factors of gradients that follow from the values alone before the loop back. The loops
compute only what depends on the previous step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from graphdl.operators.operator import Needs, Values, constant
from graphdl.operators.recurrence.recurrent_weights import Weights

aten = torch.ops.aten


class States(NamedTuple):
    """The states (t + 1, n, o), and the cell states or None."""

    h: Tensor
    c: Tensor | None = None


class Sent(NamedTuple):
    """The gradients that arrive: those of the states after each step (t, n, o), and of the last states (n, o).

    first  whether the gradients of the initial states are needed
    """

    ys: Tensor | None = None
    h: Tensor | None = None
    c: Tensor | None = None
    cs: Tensor | None = None
    first: bool = True


class Back(NamedTuple):
    """The gradients before the activations, (t, n, ...), and those of the initial states (n, o), if they are needed."""

    gates: Tensor
    h: Tensor
    c: Tensor | None = None


class Recurrence(ABC):
    """What a layer computes at each step.

    gates      the number g of blocks of o rows in a weight
    has_cells  whether it has cell states
    """

    gates: ClassVar[int] = 1
    has_cells: ClassVar[bool] = False

    def parts(self, size: int) -> list[tuple[slice, slice]]:
        """The columns of `Back.gates` that belong to the products of the inputs, each with its rows of the weight."""
        return [(slice(None), slice(None))]

    @abstractmethod
    def forward(self, w: Weights, x: Tensor, states: States, reverse: bool) -> Any:
        """Write the states after each step; return what backward needs besides them."""

    @abstractmethod
    def backward(self, w: Weights, kept: Any, states: States, sent: Sent, reverse: bool) -> Back:
        """Go back through time."""


class Elman(Recurrence):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or the same with ReLU. Elman, "Finding structure in time", 1990."""

    def __init__(self, nonlinearity: str) -> None:
        self.rectified = nonlinearity == "relu"

    def forward(self, w: Weights, x: Tensor, states: States, reverse: bool) -> None:
        inputs, weight = products(x, w.ih, w.bias), w.hh.t()
        before, after = halves(states.h, reverse)
        for g, h, out in steps(reverse, inputs, before, after):
            g.addmm_(h, weight)
            if self.rectified:
                torch.clamp_min(g, 0, out=out)
            else:
                torch.tanh(g, out=out)

    def backward(self, w: Weights, kept: None, states: States, sent: Sent, reverse: bool) -> Back:
        _, y = halves(states.h, reverse)
        one = constant(1.0, y).expand_as(y)
        da = aten.threshold_backward(one, y, 0) if self.rectified else aten.tanh_backward(one, y)
        dys, dh = arriving(sent, y, not reverse)
        for a, dy in zip(unbound(not reverse, da), dys, strict=True):
            a.mul_(dh)
            if dy is not None:
                torch.addmm(dy, a, w.hh, out=dh)
        return Back(da, dh)


class LongShortTerm(Recurrence):
    """c' = f c + i g, h' = o tanh(c'), where i, f, o are sigmoids and g a tanh of W_ih x + b_ih + W_hh h + b_hh.

    Hochreiter and Schmidhuber, "Long short-term memory", 1997; with forget gates, Gers et al., 2000.
    """

    gates = 4
    has_cells = True

    def forward(self, w: Weights, x: Tensor, states: States, reverse: bool) -> Tensor:
        gates, weight = products(x, w.ih, w.bias), w.hh.t()
        size, tanh_c = w.hh.shape[1], torch.empty_like(states.h[0])
        parts = gates, gates[..., : 2 * size], *blocks(gates, 4)
        ends = *halves(states.h, reverse), *halves(cells(states), reverse)
        for a, sigmoids, i, f, g, o, h, h_out, c, c_out in steps(reverse, *parts, *ends):
            a.addmm_(h, weight)
            sigmoids.sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, c, out=c_out).addcmul_(i, g)
            torch.tanh(c_out, out=tanh_c)
            torch.mul(o, tanh_c, out=h_out)
        return gates

    def backward(self, w: Weights, kept: Tensor, states: States, sent: Sent, reverse: bool) -> Back:
        (_, y), (before, after) = halves(states.h, reverse), halves(cells(states), reverse)
        i, f, g, o = blocks(kept, 4)
        da = torch.empty_like(kept)
        di, df, dg, do = blocks(da, 4)
        tanh_c = after.tanh()
        for grad, value, into in ((g, i, di), (before, f, df), (tanh_c, o, do)):
            aten.sigmoid_backward.grad_input(grad, value, grad_input=into)
        aten.tanh_backward.grad_input(i, g, grad_input=dg)
        slope = aten.tanh_backward.grad_input(o, tanh_c, grad_input=tanh_c)
        dys, dh = arriving(sent, y, not reverse)
        dc = torch.zeros_like(dh) if sent.c is None else sent.c.clone(memory_format=torch.contiguous_format)
        dcs = [None] * len(y) if sent.cs is None else unbound(not reverse, sent.cs)
        of_cell, wide = da.view(*y.shape[:2], 4, y.shape[2])[..., :3, :], dc.unsqueeze(1)
        for (a, a_cell, a_o, s, forget), dy, more in zip(
            steps(not reverse, da, of_cell, do, slope, f), dys, dcs, strict=True
        ):
            dc.addcmul_(dh, s)
            if more is not None:
                dc.add_(more)
            a_cell.mul_(wide)
            a_o.mul_(dh)
            if dy is not None:
                dc.mul_(forget)
                torch.addmm(dy, a, w.hh, out=dh)
        return Back(da, dh, dc)


class GatedUnit(Recurrence):
    """h' = (1 - z) n + z h, n = tanh(W_in x + b_in + r (W_hn h + b_hn)), where r and z are sigmoids.

    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; r as in torch.nn and cuDNN.
    """

    gates = 3

    def parts(self, size: int) -> list[tuple[slice, slice]]:
        return [(slice(2 * size), slice(2 * size)), (slice(2 * size, 3 * size), slice(3 * size, 4 * size))]

    def forward(self, w: Weights, x: Tensor, states: States, reverse: bool) -> tuple[Tensor, Tensor]:
        size = w.hh.shape[1]
        before, after = halves(states.h, reverse)
        inner = torch.zeros_like(after, memory_format=torch.contiguous_format)
        bias = w.bias_ih
        if bias is not None and w.bias_hh is not None:
            bias = bias.clone()
            bias[: 2 * size].add_(w.bias_hh[: 2 * size])
            inner.add_(w.bias_hh[2 * size :])
        gates = products(x, w.ih, bias)
        weight, weight_n = w.hh[: 2 * size].t(), w.hh[2 * size :].t()
        r, z, n = blocks(gates, 3)
        parts = gates[..., : 2 * size], r, z, n, inner, before, after
        for sigmoids, r, z, n, hidden, h, out in steps(reverse, *parts):
            sigmoids.addmm_(h, weight).sigmoid_()
            hidden.addmm_(h, weight_n)
            n.addcmul_(r, hidden).tanh_()
            torch.lerp(n, h, z, out=out)
        return gates, inner

    def backward(self, w: Weights, kept: tuple[Tensor, Tensor], states: States, sent: Sent, reverse: bool) -> Back:
        gates, inner = kept
        before, y = halves(states.h, reverse)
        r, z, n = blocks(gates, 3)
        da = gates.new_empty((*y.shape[:2], 4 * y.shape[2]))
        dr, dz, d_inner, dn = blocks(da, 4)
        aten.tanh_backward.grad_input(torch.neg(z, out=dn).add_(1), n, grad_input=dn)
        torch.mul(dn, r, out=d_inner)
        aten.sigmoid_backward.grad_input(torch.mul(dn, inner, out=dr), r, grad_input=dr)
        aten.sigmoid_backward.grad_input(torch.sub(before, n, out=dz), z, grad_input=dz)
        dys, dh = arriving(sent, y, not reverse)
        wide = dh.unsqueeze(1)
        for (a, hidden, update), dy in zip(
            steps(not reverse, da.view(*y.shape[:2], 4, y.shape[2]), da[..., : gates.shape[-1]], z), dys, strict=True
        ):
            a.mul_(wide)
            if dy is not None:
                torch.addcmul(dy, dh, update, out=dh).addmm_(hidden, w.hh)
        return Back(da, dh)


def products(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The products of the inputs (t, n, i) of all steps, a new tensor (t, n, g o)."""
    rows = x.reshape(-1, x.shape[-1])
    made = torch.mm(rows, weight.t()) if bias is None else torch.addmm(bias, rows, weight.t())
    return made.view(*x.shape[:2], len(weight))


def input_gradient(made: Recurrence, w: Weights, da: Tensor) -> Tensor:
    """The gradient of the inputs of all steps."""
    rows, dx = da.flatten(0, 1), None
    for part, columns in made.parts(w.hh.shape[1]):
        factors = rows[:, columns], w.ih[part]
        dx = torch.mm(*factors) if dx is None else dx.addmm_(*factors)
    assert dx is not None
    return dx.view(*da.shape[:2], w.ih.shape[1])


def parameter_gradients(made: Recurrence, da: Tensor, x: Tensor, before: Tensor, w: Weights, needs: Needs) -> Values:
    """The gradients of the parameters that are needed, by name; `before` are the states before each step."""
    size, found = before.shape[-1], {}
    parts, rows, x = made.parts(size), da.flatten(0, 1), x.flatten(0, 1)
    if "weight_ih" in needs:
        place = needs["weight_ih"]
        found["weight_ih"] = place = torch.empty_like(w.ih) if place is None else place
        for part, columns in parts:
            torch.mm(rows[:, columns].t(), x, out=place[part])
    if "weight_hh" in needs:
        hidden = rows[:, : len(w.hh)].t()
        found["weight_hh"] = torch.mm(hidden, before.flatten(0, 1), out=needs["weight_hh"])
    biased = [name for name in ("bias_ih", "bias_hh") if w.bias_ih is not None and name in needs]
    if biased:
        total = torch.mv(rows.t(), constant(1.0, rows, len(rows)))
        pieces = {"bias_ih": [total[columns] for _, columns in parts], "bias_hh": [total[: len(w.hh)]]}
        found.update((name, torch.cat(pieces[name], out=needs[name])) for name in biased)
    return found


def halves(states: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """The states before each step and after it."""
    return (states[1:], states[:-1]) if reverse else (states[:-1], states[1:])


def cells(states: States) -> Tensor:
    """The cell states."""
    assert states.c is not None
    return states.c


def blocks(tensor: Tensor, count: int) -> Sequence[Tensor]:
    """Equal parts along the last axis."""
    return tensor.chunk(count, -1)


def unbound(reverse: bool, tensor: Tensor) -> Sequence[Tensor]:
    """The steps of a tensor in the order of time, or in the other one."""
    return tensor.unbind()[::-1] if reverse else tensor.unbind()


def steps(reverse: bool, *tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """The steps of several tensors, side by side."""
    return zip(*(unbound(reverse, tensor) for tensor in tensors), strict=True)


def arriving(sent: Sent, y: Tensor, reverse: bool) -> tuple[Sequence[Tensor | None], Tensor]:
    """For each step, the gradient that arrives at the state before it; and that of the last state, a new tensor.

    It is None for the initial state if that state's gradient is not needed.
    """
    zero = constant(0.0, y).expand_as(y[0])
    dys = [zero] * len(y) if sent.ys is None else unbound(reverse, sent.ys)
    dh = dys[0].clone(memory_format=torch.contiguous_format) if sent.h is None else torch.add(dys[0], sent.h)
    return [*dys[1:], zero if sent.first else None], dh
