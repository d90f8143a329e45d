"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.optim.moves import State
from graphdl.optim.optimizer import Optimizer


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments: as torch.optim.Adam.

    g <- g + weight_decay w
    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g²
    w <- w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    betas = (beta1, beta2). Source: Kingma and Ba, 2015.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.betas, tuple) or len(self.betas) != 2:
            raise SettingError(f"{type(self).__name__}: betas is a pair (beta1, beta2), not {self.betas!r}")
        self.check("beta1", self.betas[0], 0, 1)
        self.check("beta2", self.betas[1], 0, 1)
        self.check("eps", self.eps, 0, math.inf)
        self.check("weight_decay", self.weight_decay, 0, math.inf)

    def state(self, w: Tensor) -> State:
        """The moments m and v."""
        return torch.zeros_like(w), torch.zeros_like(w)

    def update(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> None:
        """One step, in one kernel."""
        self._move(torch._fused_adam_, w, g, state, t)

    def rule(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> tuple[Tensor, State]:
        """One step, as a formula."""
        return self._formula(w, g + self.weight_decay * w if self.weight_decay else g, state, t)

    def _formula(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> tuple[Tensor, State]:
        """The bias corrections need double precision: 1 - beta^t is small."""
        (m, v), (beta1, beta2), t = state, self.betas, t.double()
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        rate = (self.lr / (1 - torch.pow(beta1, t))).to(w.dtype)
        scale = torch.rsqrt(1 - torch.pow(beta2, t)).to(w.dtype)
        return w - rate * m / (v.sqrt() * scale + self.eps), (m, v)

    def _move(self, kernel: Callable[..., None], w: Tensor, g: Tensor, state: State, t: Tensor) -> None:
        (m, v), (beta1, beta2) = state, self.betas
        kernel(
            [w], [g], [m], [v], [], [t],
            lr=self.lr, beta1=beta1, beta2=beta2, weight_decay=self.weight_decay, eps=self.eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient, w <- (1 - lr weight_decay) w: as torch.optim.AdamW.

    Source: Loshchilov and Hutter, 2019.
    """

    weight_decay: float = 1e-2

    def update(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> None:
        """One step, in one kernel."""
        self._move(torch._fused_adamw_, w, g, state, t)

    def rule(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> tuple[Tensor, State]:
        """One step, as a formula."""
        return self._formula((1 - self.lr * self.weight_decay) * w, g, state, t)
