"""BFGS with the full inverse Hessian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphdl.errors import SettingError, counted
from graphdl.optim.numbers import Numbers, State
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.settings import number, setting, size


@dataclass(frozen=True)
class BFGS(Optimizer):
    """The quasi-Newton method of Broyden, Fletcher, Goldfarb and Shanno, with a constant step.

    s = w - (w of the last update),  y = g - (g of the last update),  r = 1 / sᵀy
    H <- (I - r s yᵀ) H (I - r y sᵀ) + r s sᵀ if sᵀy > curvature |s| |y|, from the identity
    w <- w - lr H g

    H approximates the inverse Hessian of the loss by all n trained parameters. It needs 4 n² bytes in float32, 8 n² in
    float64, and an update as many again for the next H. `max_bytes` limits both together: SettingError is raised before
    any of it is allocated. lr = 1 is the step to the minimum of a quadratic loss.

    Where the curvature condition sᵀy > 0 fails, H stays as it is, so that -H g is always a direction of descent. A
    small curvature gives a large H, and without a line search a step that is too long: training is steadier with a
    `curvature` of about 0.1, the least cosine between s and y, most of all on mini-batches, where y also holds the
    difference between two batches. If nodes are frozen or unfrozen, H is reset to the identity. With line
    searches: graphdl.minimize. Source: Nocedal and Wright, Numerical Optimization, 2006, equation 6.17.
    """

    lr: float | Schedule = setting(number_or_schedule(), default=0.2)
    curvature: float = setting(number(0, 1), default=1e-10)
    max_bytes: int = setting(size(), default=2**30)

    joint: ClassVar[bool] = True

    def memory(self, n: int, dtype: torch.dtype = torch.float32) -> int:
        """The bytes that n parameters need: H, and the next H during an update.

        >>> BFGS().memory(1427, torch.float64)
        32581264
        """
        return 2 * n * n * dtype.itemsize

    def state(self, w: Tensor) -> State:
        """The inverse Hessian H, and w and g of the last update. Raises SettingError if H needs too much memory."""
        n, needed = w.numel(), self.memory(w.numel(), w.dtype)
        if needed > self.max_bytes:
            raise SettingError(
                f"BFGS: the inverse Hessian of {counted(n, 'parameter')} needs {needed // 2:,} bytes, and an update as "
                f"many again: {needed:,} bytes, more than max_bytes={self.max_bytes:,}. Raise max_bytes, freeze nodes, "
                'or use graphdl.minimize(..., method="L-BFGS-B"), which needs no such matrix.'
            )
        return torch.eye(n, dtype=w.dtype, device=w.device), w, torch.zeros_like(w)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """One step. Before the first one, w has not changed, so the curvature is 0 and H the identity."""
        H, before, previous = state  # noqa: N806
        dw, dg = w - before, g - previous
        curvature = dw @ dg
        holds = curvature > s.curvature * dw.norm() * dg.norm()
        r = torch.where(holds, 1 / curvature, 0.0)
        u = r * (H @ dg)
        v = 0.5 * r * (1 + dg @ u) * dw - u
        H = torch.addmm(H, torch.stack((dw, v), 1), torch.stack((v, dw)))  # noqa: N806  # H + dw vᵀ + v dwᵀ
        return w - s.lr * (H @ g), (H, w, g)
