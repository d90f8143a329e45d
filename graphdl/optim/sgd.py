"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.optim.numbers import Numbers, State
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import flag, setting


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent with optional momentum and Nesterov momentum, as in torch.optim.SGD.

    g <- g + weight_decay w
    u <- momentum u + g
    w <- w - lr u, or w - lr (g + momentum u) with nesterov

    Sources: Polyak, 1964; Nesterov, 1983; Sutskever et al., 2013.
    """

    momentum: float | Schedule = setting(number_or_schedule(), default=0.0)
    weight_decay: float | Schedule = setting(number_or_schedule(), default=0.0)
    nesterov: bool = setting(flag(), default=False)

    def check_settings(self) -> None:
        """Refuse Nesterov's method without momentum."""
        if self.nesterov and not self.momentum:
            raise SettingError("SGD: nesterov needs a momentum other than 0, for example momentum=0.9")

    def state(self, w: Tensor) -> State:
        """The velocity u, if there is momentum."""
        return (torch.zeros_like(w),) if self.momentum else ()

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        if self.weight_decay:
            g = g + s.weight_decay * w
        if state:
            u = s.momentum * state[0] + g
            state, g = (u,), g + s.momentum * u if self.nesterov else u
        return w - s.lr * g, state

    def _kernel(
        self, w: list[Tensor], g: list[Tensor], states: list[list[Tensor]], counts: list[Tensor], s: Numbers
    ) -> None:
        if s.momentum if states else self.weight_decay:
            torch._fused_sgd_(
                w, g, states[0] if states else [], weight_decay=s.weight_decay, momentum=s.momentum, lr=s.lr,
                dampening=0.0, nesterov=self.nesterov, maximize=False, is_first_step=False,
            )  # fmt: skip
            return
        if states:  # a schedule has set the momentum to 0, which the fused kernel does not support
            g = [u.copy_(dw + s.weight_decay * part) for u, dw, part in zip(states[0], g, w, strict=True)]
        if len(w) == 1:
            w[0].add_(g[0], alpha=-s.lr)
        else:
            torch._foreach_add_(w, g, alpha=-s.lr)
