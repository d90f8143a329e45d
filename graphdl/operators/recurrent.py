"""Recurrent layers and cells.

Layers read whole sequences; a cell makes one step.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from graphdl.errors import SettingError
from graphdl.initializers import Initializer
from graphdl.operators.recurrence.cell import Cell
from graphdl.operators.recurrence.recurrences import Elman, GatedUnit, LongShortTerm, Recurrence
from graphdl.operators.recurrence.stacked import Stacked
from graphdl.registry import register
from graphdl.settings import choice, either, flag, initializer, optional, probability, setting, size
from graphdl.slots import InputSlot

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]

MOST_LAYERS = 1_000
Nonlinearity: TypeAlias = Literal["tanh", "relu"]
H_0, C_0 = InputSlot("h_0", optional=True), InputSlot("c_0", optional=True)
LENGTHS = InputSlot("lengths", optional=True, kind="integer")
LSTM_STEP, GRU_STEP = LongShortTerm(), GatedUnit()
ELMAN_STEPS = {"tanh": Elman("tanh"), "relu": Elman("relu")}


@register
class RNN(Stacked):
    """Recurrent layers: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh); settings and inputs as in LSTM.

    x (t, n, i) -> (y (t, n, d o), h_n (d l, n, o)), of which Item(0) and Item(1) select one; d directions, l layers.
    Parameters of layer k: weight_ih_lk (o, i), weight_hh_lk (o, o), bias_ih_lk and bias_hh_lk (o).
    With da_t = dh_t (1 - h_t²): dx_t = W_ihᵀ da_t, dh_(t-1) = dy_(t-1) + W_hhᵀ da_t; dW_ih = sum da_t x_tᵀ,
    dW_hh = sum da_t h_(t-1)ᵀ and db = sum da_t over all steps and rows.

    nonlinearity  "tanh" or "relu"

    Kept for backward: x and the states. Source: Elman, "Finding structure in time", 1990.
    """

    input_size: int | None = setting(optional(size()), default=None)
    hidden_size: int | None = setting(optional(size()), default=None)
    num_layers: int = setting(size(most=MOST_LAYERS), default=1)
    nonlinearity: Nonlinearity = setting(choice(Nonlinearity), default="tanh")
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    batch_first: bool = setting(flag(), default=False)
    dropout: float = setting(probability(), default=0.0)
    bidirectional: bool = setting(flag(), default=False)
    weight: Initializer | None = setting(optional(initializer()), default=None, kw_only=True)

    slots: ClassVar = ("input", H_0, LENGTHS)

    @property
    def recurrence(self) -> Recurrence:
        return ELMAN_STEPS[self.nonlinearity]


@register
class LSTM(Stacked):
    """Layers of long short-term memory: c_t = f c_(t-1) + i g, h_t = o tanh(c_t).

    i, f, o are sigmoids and g is a tanh of four blocks of rows of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, in the order
    i, f, g, o. x (t, n, i) -> (y (t, n, d o), h_n (d l, n, o), c_n (d l, n, o)), of which Item(k) selects one: the
    states of the last layer after each step, and the last states of all layers; l layers, d = 2 directions if
    bidirectional, else 1. Parameters of layer k: weight_ih_lk (4 o, i), weight_hh_lk (4 o, o), bias_ih_lk and
    bias_hh_lk (4 o), where i is d o for layers after the first; the names of the reverse direction end in _reverse.

    batch_first    whether x and y are (n, t, ...). The default is torch.nn's, False: the first axis is time. Networks
                   whose inputs have the batch first, as in fit, need LSTM(..., batch_first=True). h and c do not change
    dropout        the probability with which an output of any layer but the last is set to 0 in training
    bias, weight   False for no biases, or initializers; by default all parameters are Uniform ±1 / sqrt(o)
    proj_size      torch.nn's projections are not supported: it must be 0

    input_size may be left out: it is inferred from the first input. h_0 and c_0 (d l, n, o) are optional inputs, 0 by
    default; lengths (n), integers from 1 to t, is another. A row with a length is treated as in a packed sequence: y is
    0 beyond it, h_n and c_n are the states after its last step, where the reverse direction begins, and what x holds
    beyond it is not read. Without a batch axis, x is (t, i), and y and the states have none.

    Back through time, with da_t the gradient before the activations: dx_t = W_ihᵀ da_t, dc_(t-1) = f dc_t,
    dh_(t-1) = dy_(t-1) + W_hhᵀ da_t; over all steps and rows: dW_ih = sum da_t x_tᵀ, dW_hh = sum da_t h_(t-1)ᵀ,
    db = sum da_t.
    Kept for backward: x, states, cell states and gates. In float32 on a CPU, oneDNN computes rows without lengths, as
    in torch.nn, and keeps what it needs; in inference it keeps nothing, and backward computes the layer again. In
    compiled steps, layers of at most 128 states and 200 steps are written in C++ instead.

    Errors: ShapeError for inputs of other shapes; an error with the valid range for lengths out of range.
    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; Gers et al., "Learning to forget", 2000.
    """

    input_size: int | None = setting(optional(size()), default=None)
    hidden_size: int | None = setting(optional(size()), default=None)
    num_layers: int = setting(size(most=MOST_LAYERS), default=1)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    batch_first: bool = setting(flag(), default=False)
    dropout: float = setting(probability(), default=0.0)
    bidirectional: bool = setting(flag(), default=False)
    proj_size: int = setting(size(0), default=0)
    weight: Initializer | None = setting(optional(initializer()), default=None, kw_only=True)

    slots: ClassVar = ("input", H_0, C_0, LENGTHS)
    recurrence: ClassVar = LSTM_STEP

    def check_settings(self) -> None:
        super().check_settings()
        if self.proj_size:
            raise SettingError(
                f"LSTM: projections are not supported: proj_size must be 0, not {self.proj_size}. A Linear("
                f"{self.hidden_size}, {self.proj_size}) after it projects its outputs, though not what its steps read"
            )


@register
class GRU(Stacked):
    """Layers of gated recurrent units: h_t = (1 - z) n + z h_(t-1); settings and inputs as in LSTM.

    r and z are sigmoids of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, and n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) +
    b_hn)), in blocks of rows in the order r, z, n. x (t, n, i) -> (y (t, n, d o), h_n (d l, n, o)), of which Item(0)
    and Item(1) select one. Parameters of layer k: weight_ih_lk (3 o, i), weight_hh_lk (3 o, o), bias_ih_lk and
    bias_hh_lk (3 o). dh_(t-1) = dy_(t-1) + z dh_t + W_hhᵀ da_t, where da_t is the gradient of the products with W_hh;
    dW_ih, dW_hh and db as in LSTM.

    Kept for backward: x, the states, r, z, n and W_hn h_(t-1) + b_hn.
    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    2014; as in torch.nn and cuDNN, r multiplies the product with h_(t-1).
    """

    input_size: int | None = setting(optional(size()), default=None)
    hidden_size: int | None = setting(optional(size()), default=None)
    num_layers: int = setting(size(most=MOST_LAYERS), default=1)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    batch_first: bool = setting(flag(), default=False)
    dropout: float = setting(probability(), default=0.0)
    bidirectional: bool = setting(flag(), default=False)
    weight: Initializer | None = setting(optional(initializer()), default=None, kw_only=True)

    slots: ClassVar = ("input", H_0, LENGTHS)
    recurrence: ClassVar = GRU_STEP


@register
class RNNCell(Cell):
    """One step of RNN: h_1 = tanh(W_ih x + b_ih + W_hh h_0 + b_hh), or with ReLU.

    x (n, i), optional h_0 (n, o) -> h_1 (n, o); weight_ih (o, i), weight_hh (o, o), bias_ih and bias_hh (o). Gradients
    and settings as in RNN.
    """

    input_size: int | None = setting(optional(size()), default=None)
    hidden_size: int | None = setting(optional(size()), default=None)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    nonlinearity: Nonlinearity = setting(choice(Nonlinearity), default="tanh")
    weight: Initializer | None = setting(optional(initializer()), default=None, kw_only=True)

    slots: ClassVar = ("input", H_0)

    @property
    def recurrence(self) -> Recurrence:
        return ELMAN_STEPS[self.nonlinearity]


@register
class LSTMCell(Cell):
    """One step of LSTM: c_1 = f c_0 + i g, h_1 = o tanh(c_1).

    x (n, i), optional h_0 and c_0 (n, o) -> (h_1, c_1) (n, o), of which Item(0) and Item(1) select one; weight_ih
    (4 o, i), weight_hh (4 o, o), bias_ih and bias_hh (4 o). Formulas, gradients and settings as in LSTM.
    """

    input_size: int | None = setting(optional(size()), default=None)
    hidden_size: int | None = setting(optional(size()), default=None)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    weight: Initializer | None = setting(optional(initializer()), default=None, kw_only=True)

    slots: ClassVar = ("input", H_0, C_0)
    recurrence: ClassVar = LSTM_STEP


@register
class GRUCell(Cell):
    """One step of GRU: h_1 = (1 - z) n + z h_0.

    x (n, i), optional h_0 (n, o) -> h_1 (n, o); weight_ih (3 o, i), weight_hh (3 o, o), bias_ih and bias_hh (3 o).
    Formulas, gradients and settings as in GRU.
    """

    input_size: int | None = setting(optional(size()), default=None)
    hidden_size: int | None = setting(optional(size()), default=None)
    bias: bool | Initializer = setting(either(flag(), initializer()), default=True)
    weight: Initializer | None = setting(optional(initializer()), default=None, kw_only=True)

    slots: ClassVar = ("input", H_0)
    recurrence: ClassVar = GRU_STEP
