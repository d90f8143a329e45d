"""Lion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.optim.adam import PAIR, check_betas
from graphdl.optim.numbers import Numbers, State
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import setting


@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps of equal size along the sign of an interpolated momentum, with decoupled weight decay.

    w <- (1 - lr weight_decay) w - lr sign(beta1 m + (1 - beta1) g)
    m <- beta2 m + (1 - beta2) g

    betas = (beta1, beta2). Its learning rate is usually 3 to 10 times smaller than Adam's, and the weight decay as much
    larger. Source: Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, algorithm 2.
    """

    lr: float | Schedule = setting(number_or_schedule(), default=1e-4)
    betas: tuple[float | Schedule, float | Schedule] = setting(PAIR, default=(0.9, 0.99))
    weight_decay: float | Schedule = setting(number_or_schedule(), default=0.0)

    def check_settings(self) -> None:
        """Check both of the betas."""
        check_betas(self, self.betas)

    def state(self, w: Tensor) -> State:
        """The momentum m."""
        return (torch.zeros_like(w),)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        (m,) = state
        if self.weight_decay:
            w = (1 - s.lr * s.weight_decay) * w
        w = w - s.lr * (s.beta1 * m + (1 - s.beta1) * g).sign()
        return w, (s.beta2 * m + (1 - s.beta2) * g,)
