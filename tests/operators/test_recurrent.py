"""Recurrent operators, over sequences and step by step, against torch.nn with the same parameters."""

from __future__ import annotations

import itertools

import torch

from graphdl import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from tests.operators.case import Case, normal


def module(operator, p):
    """torch's module with these parameters, whose gradients reach them."""
    given = {"bias": operator.bias}
    if hasattr(operator, "nonlinearity"):
        given["nonlinearity"] = operator.nonlinearity
    if hasattr(operator, "num_layers"):
        names = ("num_layers", "batch_first", "bidirectional")
        given |= {name: getattr(operator, name) for name in names}
    made = getattr(torch.nn, type(operator).__name__)(operator.input_size, operator.hidden_size, **given).double()
    return lambda *args: torch.func.functional_call(made, p, args)


def sequence(operator):
    """The reference of an operator over sequences; lengths are those of a packed sequence."""
    axis = int(operator.batch_first)

    def reference(p, x, *others, drawn=None):
        assert drawn is None
        states = [each for each in others if each.is_floating_point()]
        lengths = [each for each in others if not each.is_floating_point()]
        first = (tuple(states) if len(states) > 1 else states[0]) if states else None
        made = module(operator, p)
        if not lengths:
            y, last = made(x, first)
        else:
            utils, how = torch.nn.utils.rnn, {"batch_first": operator.batch_first}
            packed = utils.pack_padded_sequence(x, lengths[0], enforce_sorted=False, **how)
            y, last = made(packed, first)
            y, _ = utils.pad_packed_sequence(y, total_length=x.shape[axis], **how)
        return y, *(last if isinstance(last, tuple) else (last,))

    return reference
