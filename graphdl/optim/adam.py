"""Adam and AdamW."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.optim.numbers import Numbers, State
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import Check, setting

PAIR = Check("a pair (beta1, beta2)", lambda value: isinstance(value, tuple) and len(value) == 2)


def check_betas(owner: Optimizer, betas: tuple[object, object]) -> None:
    """Raise SettingError for a beta that is not in [0, 1)."""
    for name, beta in zip(("beta1", "beta2"), betas, strict=True):
        number_or_schedule(below=1)(type(owner).__name__, name, beta)


def decayed(w: Tensor, g: Tensor, s: Numbers, decoupled: bool) -> tuple[Tensor, Tensor]:
    """The parameters and the gradient with weight decay, which changes one of them."""
    return ((1 - s.lr * s.weight_decay) * w, g) if decoupled else (w, g + s.weight_decay * w)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moment estimation, as in torch.optim.Adam.

    g <- g + weight_decay w
    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g²
    w <- w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    betas = (beta1, beta2). Source: Kingma and Ba, 2015.
    """

    betas: tuple[float | Schedule, float | Schedule] = setting(PAIR, default=(0.9, 0.999))
    eps: float = setting(number_or_schedule(), default=1e-8)
    weight_decay: float | Schedule = setting(number_or_schedule(), default=0.0)

    def check_settings(self) -> None:
        """Check both of the betas."""
        check_betas(self, self.betas)

    def state(self, w: Tensor) -> State:
        """The moments m and v."""
        return torch.zeros_like(w), torch.zeros_like(w)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        return _moved(w, g + s.weight_decay * w if self.weight_decay else g, state, s)

    def _kernel(
        self, w: list[Tensor], g: list[Tensor], states: list[list[Tensor]], counts: list[Tensor], s: Numbers
    ) -> None:
        torch._fused_adam_(
            w, g, states[0], states[1], [], counts, lr=s.lr, beta1=s.beta1, beta2=s.beta2,
            weight_decay=s.weight_decay, eps=s.eps, amsgrad=False, maximize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, w <- (1 - lr weight_decay) w, as in torch.optim.AdamW.

    Source: Loshchilov and Hutter, 2019.
    """

    weight_decay: float | Schedule = setting(number_or_schedule(), default=1e-2)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        return _moved((1 - s.lr * s.weight_decay) * w, g, state, s)

    def _kernel(
        self, w: list[Tensor], g: list[Tensor], states: list[list[Tensor]], counts: list[Tensor], s: Numbers
    ) -> None:
        torch._fused_adamw_(
            w, g, states[0], states[1], [], counts, lr=s.lr, beta1=s.beta1, beta2=s.beta2,
            weight_decay=s.weight_decay, eps=s.eps, amsgrad=False, maximize=False,
        )  # fmt: skip


def _moved(w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
    """The next parameters and moments. The bias corrections are in double precision, because 1 - beta^t is small."""
    m, v = state
    m = s.beta1 * m + (1 - s.beta1) * g
    v = s.beta2 * v + (1 - s.beta2) * g * g
    rate = s.lr / (1 - s.beta1**s.t)
    return w - rate * m / (v.sqrt() / (1 - s.beta2**s.t) ** 0.5 + s.eps), (m, v)
