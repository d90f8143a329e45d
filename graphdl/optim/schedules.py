"""Schedules: numbers of an optimizer that change from update to update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

from graphdl.errors import SettingError, did_you_mean
from graphdl.registry import register

Shape = Literal["cosine", "linear"]


class Schedule(ABC):
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

    def check(self, **numbers: tuple[float, float, float]) -> None:
        """Raise SettingError for settings that are not finite numbers in a range: name=(value, least, most)."""
        for name, (value, least, most) in numbers.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not least <= value <= most:
                between = f" from {least:g} to {most:g}" if most < math.inf else f", {least:g} or more"
                expected = "a finite number" if least == -math.inf else f"a finite number{between}"
                raise SettingError(f"{type(self).__name__}: {name} must be {expected}, not {value!r}")

    def check_steps(self, name: str, value: object) -> None:
        """Raise SettingError for a setting that is not a positive number of updates."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingError(f"{type(self).__name__}: {name} must be a number of updates, 1 or more, not {value!r}")


@register
@dataclass(frozen=True)
class Cosine(Schedule):
    """Decay from `high` to `low` along half a cosine wave, as torch.optim.lr_scheduler.CosineAnnealingLR.

    low + (high - low) (1 + cos(pi step / steps)) / 2

    After `steps` updates it rises again, as in torch, and is `high` at 2 `steps`. Source: Loshchilov and Hutter,
    2017.
    """

    high: float
    steps: int
    low: float = 0.0

    def __post_init__(self) -> None:
        self.check(high=(self.high, -math.inf, math.inf), low=(self.low, -math.inf, math.inf))
        self.check_steps("steps", self.steps)

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return self.low + (self.high - self.low) * (1 + math.cos(math.pi * step / self.steps)) / 2


@register
@dataclass(frozen=True)
class StepDecay(Schedule):
    """`high`, multiplied by `factor` every `every` updates, as torch.optim.lr_scheduler.StepLR.

    high factor^floor(step / every)
    """

    high: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self.check(high=(self.high, -math.inf, math.inf), factor=(self.factor, 0, math.inf))
        self.check_steps("every", self.every)

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return float(self.high * self.factor ** (step // self.every))


@register
@dataclass(frozen=True)
class Exponential(Schedule):
    """`high`, multiplied by `factor` after every update, as torch.optim.lr_scheduler.ExponentialLR.

    high factor^step
    """

    high: float
    factor: float

    def __post_init__(self) -> None:
        self.check(high=(self.high, -math.inf, math.inf), factor=(self.factor, 0, math.inf))

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        return float(self.high * self.factor**step)


@register
@dataclass(frozen=True)
class Polynomial(Schedule):
    """Decay from `high` to `low` within `steps` updates, then constant: as torch.optim.lr_scheduler.PolynomialLR.

    low + (high - low) (1 - min(step, steps) / steps)^power, which is linear if power is 1
    """

    high: float
    steps: int
    power: float = 1.0
    low: float = 0.0

    def __post_init__(self) -> None:
        self.check(high=(self.high, -math.inf, math.inf), low=(self.low, -math.inf, math.inf))
        self.check(power=(self.power, 0, math.inf))
        self.check_steps("steps", self.steps)

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

    high: float
    steps: int
    then: Schedule | None = None
    start: float = 1 / 3

    def __post_init__(self) -> None:
        self.check(high=(self.high, -math.inf, math.inf), start=(self.start, 0, 1))
        self.check_steps("steps", self.steps)
        if self.then is not None and not isinstance(self.then, Schedule):
            raise SettingError(
                f"Warmup: then must be a schedule such as Cosine(5e-3, steps=1000), or None, not {self.then!r}"
            )

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

    peak: float
    steps: int
    rise: float = 0.3
    start: float | None = None
    end: float | None = None
    shape: Shape = "cosine"

    def __post_init__(self) -> None:
        first, last = self._ends
        self.check(peak=(self.peak, -math.inf, math.inf), rise=(self.rise, 0, 1))
        self.check(start=(first, -math.inf, math.inf), end=(last, -math.inf, math.inf))
        self.check_steps("steps", self.steps)
        if self.shape not in get_args(Shape):
            meant = did_you_mean(self.shape, get_args(Shape))
            raise SettingError(f"OneCycle: shape must be 'cosine' or 'linear', not {self.shape!r}.{meant}")

    @property
    def _ends(self) -> tuple[float, float]:
        self.check(peak=(self.peak, -math.inf, math.inf))
        first = self.peak / 25 if self.start is None else self.start
        if self.start is not None:
            self.check(start=(self.start, -math.inf, math.inf))
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
