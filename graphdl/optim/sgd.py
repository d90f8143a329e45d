"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.optim.moves import State
from graphdl.optim.optimizer import Optimizer


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's look-ahead: as torch.optim.SGD.

    g <- g + weight_decay w
    u <- momentum u + g
    w <- w - lr u, or w - lr (g + momentum u) with nesterov

    Sources: Polyak, 1964; Nesterov, 1983; Sutskever et al., 2013.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("momentum", self.momentum, 0, float("inf"))
        self.check("weight_decay", self.weight_decay, 0, float("inf"))
        if self.nesterov and not self.momentum:
            raise SettingError("SGD: nesterov looks ahead along the momentum, which is 0; give momentum=0.9, say")

    def state(self, w: Tensor) -> State:
        """The velocity u, if there is momentum."""
        return (torch.zeros_like(w),) if self.momentum else ()

    def update(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> None:
        """One step."""
        if self.weight_decay:
            g = g.add(w, alpha=self.weight_decay)
        if state:
            (u,) = state
            u.mul_(self.momentum).add_(g)
            g = g.add(u, alpha=self.momentum) if self.nesterov else u
        w.add_(g, alpha=-self.lr)

    def rule(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> tuple[Tensor, State]:
        """One step, as a formula."""
        if self.weight_decay:
            g = g + self.weight_decay * w
        if state:
            u = self.momentum * state[0] + g
            state, g = (u,), g + self.momentum * u if self.nesterov else u
        return w - self.lr * g, state
