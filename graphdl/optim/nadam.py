"""NAdam."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.optim.adam import Adam, decayed
from graphdl.optim.numbers import Numbers, State
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import flag, setting


@dataclass(frozen=True)
class NAdam(Adam):
    """Adam with Nesterov momentum, as in torch.optim.NAdam.

    g <- g + weight_decay w, or w <- (1 - lr weight_decay) w with decoupled_weight_decay
    m and v as in Adam
    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),  p <- p mu_t
    w <- w - lr ((1 - mu_t) / (1 - p) g + mu_t+1 / (1 - p mu_t+1) m) / (sqrt(v / (1 - beta2^t)) + eps)

    Source: Dozat, 2016.
    """

    lr: float | Schedule = setting(number_or_schedule(), default=2e-3)
    momentum_decay: float | Schedule = setting(number_or_schedule(), default=4e-3)
    decoupled_weight_decay: bool = setting(flag(), default=False)

    def state(self, w: Tensor) -> State:
        """The moments m and v, and the product p, which is the same for every element."""
        return torch.zeros_like(w), torch.zeros_like(w), torch.ones_like(w)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        if self.weight_decay:
            w, g = decayed(w, g, s, self.decoupled_weight_decay)
        m, v, p = state
        mu, following = (s.beta1 * (1 - 0.5 * 0.96 ** (t * s.momentum_decay)) for t in (s.t, s.t + 1))
        m = s.beta1 * m + (1 - s.beta1) * g
        v = s.beta2 * v + (1 - s.beta2) * g * g
        p = mu * p
        direction = (1 - mu) / (1 - p) * g + following / (1 - following * p) * m
        return w - s.lr * direction / (v.sqrt() / (1 - s.beta2**s.t) ** 0.5 + s.eps), (m, v, p)
