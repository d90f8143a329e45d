"""RAdam."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphdl.optim.adam import Adam, decayed
from graphdl.optim.numbers import Numbers, State, where
from graphdl.settings import flag, setting


@dataclass(frozen=True)
class RAdam(Adam):
    """Adam with a rectified variance in the first steps, as in torch.optim.RAdam.

    g <- g + weight_decay w, or w <- (1 - lr weight_decay) w with decoupled_weight_decay
    m and v as in Adam,  h = m / (1 - beta1^t)
    R = 2 / (1 - beta2) - 1,  r = R - 2 t beta2^t / (1 - beta2^t)
    w <- w - lr h sqrt((r - 4) (r - 2) R / ((R - 4) (R - 2) r)) sqrt(1 - beta2^t) / (sqrt(v) + eps) if r > 5
    w <- w - lr h otherwise

    Source: Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020.
    """

    decoupled_weight_decay: bool = setting(flag(), default=False)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step."""
        if self.weight_decay:
            w, g = decayed(w, g, s, self.decoupled_weight_decay)
        m, v = state
        m = s.beta1 * m + (1 - s.beta1) * g
        v = s.beta2 * v + (1 - s.beta2) * g * g
        correction, most = 1 - s.beta2**s.t, 2 / (1 - s.beta2) - 1
        length = most - 2 * s.t * s.beta2**s.t / correction
        rectified = length > 5
        length, most = where(rectified, length, 6.0), where(rectified, most, 6.0)  # a factor of 1 if not rectified
        factor = ((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length) * correction) ** 0.5
        step = s.lr / (1 - s.beta1**s.t) * m
        return w - where(rectified, factor * step / (v.sqrt() + s.eps), step), (m, v)
