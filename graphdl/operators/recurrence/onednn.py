"""One layer of an LSTM in one direction by oneDNN.

It computes in float32 on the CPU. torch lets oneDNN keep what backward needs only while autograd is on. It is off in
graphdl, and while a recorded step is replayed: so its function is called within one of graphdl's own, which turns
autograd on around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from graphdl.operators.recurrence.compiling import is_compiling
from graphdl.operators.recurrence.recurrent_weights import Weights
from graphdl.operators.shared.library import define

LSTM = 2
"""oneDNN's number of the kind of a layer."""

MOST_WRITTEN, MOST_STEPS = 128, 200
"""The largest size of a state, and number of steps, of a layer that is written in C++ in a compiled step."""

Layer: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""The outputs (t, n, o), the last state and cell state (n, o), and what backward needs."""

AVAILABLE: bool = torch._C._has_mkldnn

aten = torch.ops.aten


def _layer(x: Tensor, *others: Any) -> Layer:
    *tensors, reverse = others
    with torch.enable_grad():
        return cast(Layer, _forward(x, tensors, reverse, True))


define(
    "lstm_layer(Tensor x, Tensor weight_ih, Tensor weight_hh, Tensor bias_ih, Tensor bias_hh, Tensor h, Tensor c, "
    "bool reverse) -> (Tensor, Tensor, Tensor, Tensor)",
    CPU=_layer,
)


def _forward(x: Tensor, tensors: Sequence[Tensor], reverse: bool, training: bool) -> Any:
    size = tensors[1].shape[1]
    return aten.mkldnn_rnn_layer(x, *tensors, reverse, [], LSTM, size, 1, True, False, False, training)


def is_best(x: Tensor, w: Weights) -> bool:
    """Whether oneDNN can compute a layer, and is quicker than the steps one by one.

    In a compiled step, small layers are quicker in C++. It takes Python some milliseconds to write a step of them, so
    long sequences are left to oneDNN.
    """
    if is_compiling() and w.hh.shape[1] <= MOST_WRITTEN and len(x) <= MOST_STEPS:
        return False
    usable = x.device.type == "cpu" and x.dtype == w.ih.dtype == torch.float32 and x.numel() > 0
    return usable and AVAILABLE and torch._C._get_mkldnn_enabled()


def forward(x: Tensor, w: Weights, h: Tensor, c: Tensor, reverse: bool, training: bool) -> Layer | tuple[Tensor, ...]:
    """Compute a layer; without training, what backward needs is left out."""
    tensors = _dense(w, h, c)
    if training:
        return torch.ops.graphdl.lstm_layer(x.contiguous(), *tensors, reverse)  # type: ignore[no-any-return]
    return _forward(x.contiguous(), tensors, reverse, False)[:3]  # type: ignore[no-any-return]


def backward(
    x: Tensor, w: Weights, h: Tensor, c: Tensor, reverse: bool, made: Sequence[Tensor], sent: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The gradients of x, weight_ih, weight_hh, bias_ih, bias_hh, h and c.

    made  what forward returned; what it left out is computed again
    sent  the gradients of the outputs, of the last state and of the last cell state
    """
    if len(made) == 3:
        made = forward(x, w, h, c, reverse, True)
    *outputs, kept = made
    tensors, arriving = _dense(w, h, c), [each if each is None else each.contiguous() for each in sent]
    settings: tuple[Any, ...] = reverse, LSTM, w.hh.shape[1], 1, True, True, False, [], False
    found = aten.mkldnn_rnn_layer_backward(x.contiguous(), *tensors, *outputs, *arriving, *settings, kept)
    return tuple(found)


def _dense(w: Weights, h: Tensor, c: Tensor) -> list[Tensor]:
    """The tensors as oneDNN reads them, which knows no strides, and needs biases."""
    no = w.hh.new_zeros(len(w.hh)) if w.bias_ih is None or w.bias_hh is None else None
    biases = (w.bias_ih, w.bias_hh) if no is None else (no, no)
    return [each.contiguous() for each in (w.ih, w.hh, *biases, h, c) if each is not None]
