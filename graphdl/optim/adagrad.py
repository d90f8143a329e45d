"""Adagrad."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.optim.numbers import Numbers, State
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import number, setting


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of their squares, as in torch.optim.Adagrad.

    g <- g + weight_decay w
    v <- v + g², from initial_accumulator_value
    w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(v) + eps)

    Source: Duchi, Hazan and Singer, 2011.
    """

    lr: float | Schedule = setting(number_or_schedule(), default=1e-2)
    lr_decay: float | Schedule = setting(number_or_schedule(), default=0.0)
    weight_decay: float | Schedule = setting(number_or_schedule(), default=0.0)
    initial_accumulator_value: float = setting(number(0), default=0.0)
    eps: float | Schedule = setting(number_or_schedule(), default=1e-10)

    def state(self, w: Tensor) -> State:
        """The sum of squares v."""
        return (torch.full_like(w, self.initial_accumulator_value),)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        if self.weight_decay:
            g = g + s.weight_decay * w
        v = state[0] + g * g
        rate = s.lr / (1 + (s.t - 1) * s.lr_decay)
        return w - rate * g / (v.sqrt() + s.eps), (v,)
