"""Schedules: numbers of an optimizer that differ from update to update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

from graphdl.errors import SettingError, did_you_mean
from graphdl.registry import register

Shape = Literal["cosine", "linear"]


class Schedule(ABC):
    """A number that depends on how many updates were made: frozen settings, given in place of the number.

    Every number of an optimizer takes one: Adam(lr=Cosine(5e-3, steps=1000)). A custom schedule is a frozen dataclass
    with the method `at`; `@graphdl.register` above it lets files name it.

    >>> schedule = Warmup(1.0, steps=4, start=0.0, then=Exponential(1.0, factor=0.5))
    >>> [schedule.at(step) for step in range(7)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    @abstractmethod
    def at(self, step: int) -> float:
        """The number for an update. step counts the updates made before it: 0 for the first one."""

    def __call__(self, step: int) -> float:
        """The same as `at`."""
        return self.at(step)

    def check(self, **numbers: tuple[float, float, float]) -> None:
        """Refuse settings that are not finite numbers between two others: name=(value, least, most)."""
        for name, (value, least, most) in numbers.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not least <= value <= most:
                between = f" from {least:g} to {most:g}" if most < math.inf else f", {least:g} or more"
                expected = "a finite number" if least == -math.inf else f"a finite number{between}"
                raise SettingError(f"{type(self).__name__}: {name} is {expected}, not {value!r}")

    def check_steps(self, name: str, value: object) -> None:
        """Refuse a setting that does not count updates."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingError(f"{type(self).__name__}: {name} is a number of updates, 1 or more, not {value!r}")


@register
@dataclass(frozen=True)
class Cosine(Schedule):
    """From `high` down to `low` along half a cosine wave: as torch.optim.lr_scheduler.CosineAnnealingLR.

    low + (high - low) (1 + cos(pi step / steps)) / 2

    After `steps` updates it rises again, as torch's does: it is `high` at twice `steps`. Source: Loshchilov and Hutter,
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
    """`high`, times `factor` after every `every` updates: as torch.optim.lr_scheduler.StepLR. It has no end.

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
    """`high`, times `factor` after every update: as torch.optim.lr_scheduler.ExponentialLR. It has no end.

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
    """From `high` down to `low`, which it keeps after `steps` updates: as torch.optim.lr_scheduler.PolynomialLR.

    low + (high - low) (1 - min(step, steps) / steps)^power; a straight line if power is 1
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
    """From `start` times `high` up to `high` along a straight line over `steps` updates, then another schedule.

    high (start + (1 - start) step / steps) while step < steps; then.at(step - steps) from there on

    As torch.optim.lr_scheduler.LinearLR(start_factor=start, total_iters=steps), with `then` by SequentialLR. Without
    `then` it keeps `high`.
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
                f"Warmup: then is a schedule such as Cosine(5e-3, steps=1000), or None, not {self.then!r}"
            )

    def at(self, step: int) -> float:
        """The number for the update after `step` others."""
        if step < self.steps:
            return self.high * (self.start + (1 - self.start) * step / self.steps)
        return self.high if self.then is None else self.then.at(step - self.steps)


@register
@dataclass(frozen=True)
class OneCycle(Schedule):
    """From `start` to `peak` and on to `end` within `steps` updates: as torch.optim.lr_scheduler.OneCycleLR.

    rise   the part of the steps in which it goes from start to peak (torch's pct_start)
    start  None for peak / 25
    end    None for start / 1e4; it keeps `end` after `steps` updates, where torch raises an error
    shape  of both ways: "cosine" or "linear"

    torch also moves the momentum the other way; here that is a schedule of its own:
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
            raise SettingError(f"OneCycle: shape is 'cosine' or 'linear', not {self.shape!r}.{meant}")

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
