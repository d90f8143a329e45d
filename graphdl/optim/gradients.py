"""Operations on all gradients of a step before the update: the mean of several batches, penalties, and clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.optim.penalties import Penalty
from graphdl.parameters import Extent

Place: TypeAlias = tuple[Extent, Tensor, Tensor]
"""A parameter: where it lies, its tensor, and the memory of its gradient."""

EPSILON = 1e-6
"""What torch.nn.utils.clip_grad_norm_ adds to the norm by which it divides."""


@dataclass(frozen=True)
class Gathering:
    """Settings of the operations on all gradients, which are done in this order.

    accumulate  the number of batches for an update, which uses the mean of their gradients
    penalties   terms of the parameters, whose gradients are added
    clip_value  clamps every element to ±clip_value, as torch.nn.utils.clip_grad_value_
    clip_norm   scales all gradients so that their total norm is at most this, as torch.nn.utils.clip_grad_norm_
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1
    penalties: Sequence[Penalty] = ()

    def __post_init__(self) -> None:
        for name in ("clip_norm", "clip_value"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise SettingError(f"{name} must be a positive number or None, not {value!r}.")
        if isinstance(self.accumulate, bool) or not isinstance(self.accumulate, int) or self.accumulate < 1:
            raise SettingError(f"accumulate must be a number of batches, 1 or more, not {self.accumulate!r}.")
        if not isinstance(self.penalties, Sequence) or not all(isinstance(each, Penalty) for each in self.penalties):
            raise SettingError(f"penalties must be a tuple such as (L2(1e-3),), not {self.penalties!r:.200}.")
        object.__setattr__(self, "penalties", tuple(self.penalties))

    def __bool__(self) -> bool:
        """Whether any setting differs from its default."""
        return self != Gathering()


class GradientVector:
    """The gradients of a step, all in one vector.

    memory   the vector; its gaps are 0
    places   each parameter with its part of the vector
    total    the sum over the batches since the last update; None if every batch makes an update
    pending  the number of batches in the sum
    """

    def __init__(self, settings: Gathering, memory: Tensor, places: Sequence[Place] = ()) -> None:
        self.settings, self.memory = settings, memory
        self._chosen = [
            (penalty, [(w, g) for extent, w, g in places if penalty.chooses(extent)]) for penalty in settings.penalties
        ]
        self.total = torch.zeros_like(memory) if settings.accumulate > 1 else None
        self.pending = 0

    @property
    def due(self) -> bool:
        """Whether the next batch completes an update."""
        return self.pending + 1 >= self.settings.accumulate

    def take(self) -> bool:
        """Add the gradients of a batch. If it returns True, `memory` holds the gradient for an update."""
        if self.total is not None:
            self.total += self.memory
            self.pending += 1
            if self.pending < self.settings.accumulate:
                return False
        self.finish()
        return True

    def finish(self) -> None:
        """Write the gradient for the update into `memory`."""
        if self.total is not None:
            torch.div(self.total, self.pending, out=self.memory)
            self.total.zero_()
            self.pending = 0
        self._penalize([penalty.strength for penalty in self.settings.penalties])
        self._clip(self.settings.clip_value, self.settings.clip_norm)

    def _penalize(self, strengths: Sequence[Any]) -> None:
        """Add the gradients of the penalties, by numbers or 0-dimensional tensors."""
        for strength, (penalty, pairs) in zip(strengths, self._chosen, strict=True):
            for w, g in pairs:
                g.add_(strength * penalty.checked_gradient(w))

    def _clip(self, value: Any, norm: Any) -> None:
        """Clip in place, by numbers or 0-dimensional tensors, without reading values on the host."""
        if value is not None:
            self.memory.clamp_(-value, value)
        if norm is not None:
            self.memory.mul_(torch.clamp(norm / (torch.linalg.vector_norm(self.memory) + EPSILON), max=1.0))

    def columns(self, count: int, finish: bool) -> list[list[float]]:
        """The columns of numbers that `formula` reads, for `count` batches.

        The column of accumulation holds the number of batches in the mean, or 0 for a batch without an update.
        """
        k, found = self.settings.accumulate, list[list[float]]()
        if self.total is not None:
            ends = [(self.pending + i) % k + 1 for i in range(count)]
            found.append([float(k) if end == k else 0.0 for end in ends])
            if finish and count:
                found[0][-1] = float(ends[-1])
        strengths = [penalty.strength for penalty in self.settings.penalties]
        limits = [each for each in (self.settings.clip_value, self.settings.clip_norm) if each is not None]
        found += [[each] * count for each in (*strengths, *limits)]
        return found

    def formula(self, numbers: Tensor) -> Tensor | None:
        """The same as `take` in torch functions only, with the numbers of a row; return whether an update is made."""
        row, due = iter(numbers.unbind()), None
        if self.total is not None:
            batches = next(row)
            due, total = batches > 0, self.total + self.memory
            self.memory.copy_(total / torch.where(due, batches, 1.0))
            self.total.copy_(torch.where(due, 0.0, total))
        self._penalize([next(row) for _ in self._chosen])
        value = None if self.settings.clip_value is None else next(row)
        self._clip(value, None if self.settings.clip_norm is None else next(row))
        return due
