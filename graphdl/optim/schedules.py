"""Schedules: numbers of an optimizer that change from update to update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Literal

from graphdl.registry import register
from graphdl.settings import Check, Settings, choice, number, optional, setting, size

CycleShape = Literal["cosine", "linear"]


class Schedule(Settings, ABC):
    """A number that depends on the count of updates: frozen settings, given in place of the number.

    Most numbers of an optimizer may be schedules: Adam(lr=Cosine(5e-3, steps=1000)). A custom schedule is a frozen
    dataclass with the method `at`; `@graphdl.register` above it lets files name it.

    >>> schedule = Warmup(1.0, steps=4, start=0.0, then=Exponential(1.0, factor=0.5))
    >>> [schedule.at(step) for step in range(7)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    @abstractmethod
    def at(self, step: int) -> float:
        """The number for an update; step is the number of updates before it, 0 for the first one."""

    def __call__(self, step: int) -> float:
        """The same as `at`."""
        return self.at(step)


SCHEDULE = Check(
    "a schedule such as Cosine(5e-3, steps=1000), or None", lambda value: value is None or isinstance(value, Schedule)
)


UPDATES = replace(size(), hint=lambda value: "The updates of fit are epochs * ceil(rows / batch_size)")


@register
@dataclass(frozen=True)
class Cosine(Schedule):
    """Decay from `high` to `low` along half a cosine wave, as torch.optim.lr_scheduler.CosineAnnealingLR.

    low + (high - low) (1 + cos(pi step / steps)) / 2

    After `steps` updates it rises again, as in torch, and is `high` at 2 `steps`. Source: Loshchilov and Hutter,
    2017.
    """

    high: float = setting(number())
    steps: int = setting(UPDATES)
    low: float = setting(number(), default=0.0)

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return self.low + (self.high - self.low) * (1 + math.cos(math.pi * step / self.steps)) / 2


@register
@dataclass(frozen=True)
class StepDecay(Schedule):
    """`high`, multiplied by `factor` every `every` updates, as torch.optim.lr_scheduler.StepLR.

    high factor^floor(step / every)
    """

    high: float = setting(number())
    every: int = setting(UPDATES)
    factor: float = setting(number(0), default=0.1)

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return float(self.high * self.factor ** (step // self.every))


@register
@dataclass(frozen=True)
class Exponential(Schedule):
    """`high`, multiplied by `factor` after every update, as torch.optim.lr_scheduler.ExponentialLR.

    high factor^step
    """

    high: float = setting(number())
    factor: float = setting(number(0))

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return float(self.high * self.factor**step)


@register
@dataclass(frozen=True)
class Polynomial(Schedule):
    """Decay from `high` to `low` within `steps` updates, then constant: as torch.optim.lr_scheduler.PolynomialLR.

    low + (high - low) (1 - min(step, steps) / steps)^power, which is linear if power is 1
    """

    high: float = setting(number())
    steps: int = setting(UPDATES)
    power: float = setting(number(0), default=1.0)
    low: float = setting(number(), default=0.0)

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return float(self.low + (self.high - self.low) * (1 - min(step, self.steps) / self.steps) ** self.power)


@register
@dataclass(frozen=True)
class Warmup(Schedule):
    """Linear increase from `start` times `high` to `high` over `steps` updates, then another schedule.

    high (start + (1 - start) step / steps) if step < steps, else then.at(step - steps)

    As torch.optim.lr_scheduler.LinearLR(start_factor=start, total_iters=steps), followed by `then` as by SequentialLR.
    Without `then` it stays at `high`.
    """

    high: float = setting(number())
    steps: int = setting(UPDATES)
    then: Schedule | None = setting(SCHEDULE, default=None)
    start: float = setting(number(0, 1), default=1 / 3)

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        if step < self.steps:
            return self.high * (self.start + (1 - self.start) * step / self.steps)
        return self.high if self.then is None else self.then.at(step - self.steps)


@register
@dataclass(frozen=True)
class OneCycle(Schedule):
    """From `start` to `peak` and then to `end` within `steps` updates, as torch.optim.lr_scheduler.OneCycleLR.

    rise   the fraction of the steps in which it goes from start to peak (torch's pct_start)
    start  the first value; None for peak / 25
    end    the last value; None for start / 1e4. It stays at `end` after `steps` updates, where torch raises an error
    shape  of both parts: "cosine" or "linear"

    torch also cycles the momentum in the opposite direction; here that is a separate schedule:
    SGD(lr=OneCycle(0.1, steps=1000), momentum=OneCycle(0.85, steps=1000, start=0.95, end=0.95)).
    Source: Smith and Topin, 2018.
    """

    peak: float = setting(number())
    steps: int = setting(UPDATES)
    rise: float = setting(number(0, 1), default=0.3)
    start: float | None = setting(optional(number()), default=None)
    end: float | None = setting(optional(number()), default=None)
    shape: CycleShape = setting(choice(CycleShape), default="cosine")

    @property
    def _ends(self) -> tuple[float, float]:
        first = self.peak / 25 if self.start is None else self.start
        return first, first / 1e4 if self.end is None else self.end

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        start, end = self._ends
        top, last = self.rise * self.steps - 1, self.steps - 1
        step = min(step, last)
        if step <= top:
            return self._between(start, self.peak, step / top if top else 1.0)
        return self._between(self.peak, end, (step - top) / (last - top))

    def _between(self, first: float, last: float, part: float) -> float:
        if self.shape == "linear":
            return first + (last - first) * part
        return last + (first - last) / 2 * (1 + math.cos(math.pi * part))


def number_or_schedule(below: float = math.inf) -> Check:
    """A number of at least 0 and less than `below`, or a schedule that starts there."""

    def holds(value: Any) -> bool:
        found = value.at(0) if isinstance(value, Schedule) else value
        return isinstance(found, (int, float)) and not isinstance(found, bool) and 0 <= found < below

    def hint(value: Any) -> str:
        if isinstance(value, Schedule):
            return f"It starts at {value.at(0)!r}"
        if not callable(value):
            return ""
        return (
            "A function cannot be stored in a file: give a schedule such as Cosine(5e-3, steps=1000), or derive a "
            "class from graphdl.optim.Schedule"
        )

    return Check(f"a number in [0, {below:g}), or a schedule", holds, hint)
