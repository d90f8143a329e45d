"""Recurrent operators, over sequences and step by step, against torch.nn with the same parameters."""

from __future__ import annotations

import pytest
import torch

from graphdl import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from tests.operators.case import Case
from tests.operators.checks import every_check


def module(operator, p):
    """torch's module with these parameters, whose gradients reach them."""
    given = {"bias": operator.bias}
    if hasattr(operator, "nonlinearity"):
        given["nonlinearity"] = operator.nonlinearity
    if hasattr(operator, "num_layers"):
        names = ("num_layers", "batch_first", "bidirectional")
        given |= {name: getattr(operator, name) for name in names}
    width = next(iter(p.values())).shape[1]
    made = getattr(torch.nn, type(operator).__name__)(width, operator.hidden_size, **given)
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


def lengths(*given):
    return lambda generator: torch.tensor(given)


def cell_reference(operator):
    def reference(p, x, *states):
        given = (tuple(states) if len(states) > 1 else states[0]) if states else None
        return module(operator, p)(x, given)

    return reference


def case(name, operator, *inputs, **more):
    """A case whose batch is the first axis of x if operator has batch_first, else of no input."""
    reference = sequence(operator) if hasattr(operator, "num_layers") else cell_reference(operator)
    return Case(name, operator, inputs, reference, **more)


T, N, I, O = 3, 2, 2, 2  # noqa: E741
CASES = [
    case("rnn", RNN(I, O), (T, N, I), batched=False),
    case("rnn_relu", RNN(None, 3, 1, "relu", False, True), (N, T, I), (1, N, 3), batched=False),
    case("rnn_lengths", RNN(I, 1, bidirectional=True), (3, 3, I), (2, 3, 1), lengths(2, 3, 1), batched=False),
    case("lstm", LSTM(I, O, batch_first=True), (N, T, I), small=(1,)),
    case("lstm_deep", LSTM(None, 1, 2, False, bidirectional=True), (2, N, I), (4, N, 1), (4, N, 1), batched=False),
    case(
        "lstm_lengths", LSTM(I, 1, bias=False, batch_first=True, bidirectional=True),
        (3, 3, I), (2, 3, 1), (2, 3, 1), lengths(2, 3, 1), batched=False,
    ),
    case("lstm_unbatched", LSTM(I, O), (T, I), (1, O), (1, O), batched=False),
    case("gru", GRU(I, O, batch_first=True), (N, T, I), small=(1,)),
    case("gru_deep", GRU(None, 1, 2, False, bidirectional=True), (2, N, I), (4, N, 1), batched=False),
    case("gru_lengths", GRU(I, 1, bidirectional=True), (3, 3, I), (2, 3, 1), lengths(2, 3, 1), batched=False),
    case("rnn_cell", RNNCell(I, O), (N, I), (N, O)),
    case("rnn_cell_relu", RNNCell(I, 3, False, "relu"), (3, I), (3, 3)),
    case("lstm_cell", LSTMCell(None, O), (N, I), (N, O), (N, O)),
    case("lstm_cell_unbatched", LSTMCell(I, O, False), (I,), (O,), (O,), batched=False),
    case("gru_cell", GRUCell(I, O), (N, I), (N, O)),
    case("gru_cell_unbatched", GRUCell(I, O, False), (I,), (O,), batched=False),
]  # fmt: skip


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)
