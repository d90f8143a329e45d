"""RMSProp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.optim.numbers import Numbers, State
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import flag, setting


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Gradients divided by a running mean of their size, as in torch.optim.RMSprop.

    g <- g + weight_decay w
    v <- alpha v + (1 - alpha) g²
    a <- alpha a + (1 - alpha) g, and a = 0 if not centered
    d = g / (sqrt(v - a²) + eps)
    w <- w - lr d, or u <- momentum u + d, w <- w - lr u with momentum

    v - a² is a variance; where rounding makes it negative it is 0, and nan in torch. Sources: Tieleman and Hinton,
    Coursera lecture 6.5, 2012; Graves, 2013, for the centered one.
    """

    lr: float | Schedule = setting(number_or_schedule(), default=1e-2)
    alpha: float | Schedule = setting(number_or_schedule(below=1), default=0.99)
    eps: float | Schedule = setting(number_or_schedule(), default=1e-8)
    weight_decay: float | Schedule = setting(number_or_schedule(), default=0.0)
    momentum: float | Schedule = setting(number_or_schedule(), default=0.0)
    centered: bool = setting(flag(), default=False)

    def state(self, w: Tensor) -> State:
        """The mean of squares v, then the mean a if centered, then the velocity u if there is momentum."""
        return tuple(torch.zeros_like(w) for _ in range(1 + self.centered + bool(self.momentum)))

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        if self.weight_decay:
            g = g + s.weight_decay * w
        v = variance = s.alpha * state[0] + (1 - s.alpha) * g * g
        following = [v]
        if self.centered:
            a = s.alpha * state[1] + (1 - s.alpha) * g
            variance = (v - a * a).clamp(min=0)
            following.append(a)
        u = g / (variance.sqrt() + s.eps)
        if self.momentum:
            u = s.momentum * state[-1] + u
            following.append(u)
        return w - s.lr * u, tuple(following)
