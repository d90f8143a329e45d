"""The numbers of an update, such as the learning rate, as an optimizer's formula takes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.optim.schedules import Schedule

if TYPE_CHECKING:
    from graphdl.optim.optimizer import Optimizer


State: TypeAlias = tuple[Tensor, ...]


class Numbers:
    """The numbers of one update by name: s.lr, s.weight_decay, s.beta1 ...; s.t counts the updates from 1.

    They are Python numbers, or 0-dimensional tensors in double precision if the step is recorded to be compiled.
    """

    t: Any

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError with the names that exist."""
        if name.startswith("__"):
            raise AttributeError(name)
        known = vars(self)
        raise AttributeError(f"an update has no number {name!r}.{did_you_mean(name, known)} It has {listing(known)}.")


def where(condition: Any, x: Any, y: Any) -> Any:
    """x if a condition on the numbers of an update holds, else y: numbers or tensors, as torch.where.

    >>> s = Numbers({"t": 3})
    >>> where(s.t > 5, 1.0, 0.5)
    0.5
    """
    return torch.where(condition, x, y) if isinstance(condition, Tensor) else x if condition else y


Kernel: TypeAlias = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], list[Tensor], Numbers], None]
"""(w, g, states, counts, s): updates several vectors in place. states holds one list of vectors for each state of the
optimizer; counts holds the count of updates, once for each vector."""


def numbers_of(optimizer: Optimizer) -> dict[str, float | Schedule]:
    """The settings that are numbers or schedules, by name; betas = (0.9, 0.999) gives beta1 and beta2."""
    found: dict[str, float | Schedule] = {}
    for field in fields(optimizer):
        value = getattr(optimizer, field.name)
        several = isinstance(value, tuple)
        for k, each in enumerate(value if several else (value,), 1):
            if isinstance(each, (int, float, Schedule)) and not isinstance(each, bool):
                found[f"{field.name.removesuffix('s')}{k}" if several else field.name] = each
    return found


class Variant:
    """An optimizer's settings for some parameters, and the numbers of the current update.

    names    the names of its numbers, without t
    numbers  the numbers of the current update, set by `set`
    column   the column of its first number, the learning rate, in a row of the numbers of an update
    kept     how many tensors the optimizer keeps between steps
    kernel   the optimizer's fused kernel, or None
    """

    def __init__(self, optimizer: Optimizer, column: int = 0) -> None:
        self.optimizer, self.name, self.column, self.kept = optimizer, type(optimizer).__name__, column, 0
        self._settings = numbers_of(optimizer)
        self._scale = 1.0
        self.names = list(self._settings)
        self.schedules = {name: each for name, each in self._settings.items() if isinstance(each, Schedule)}
        self.numbers = Numbers({**self._settings, "t": 0})
        self.kernel = optimizer.kernel

    def number(self, name: str, made: int, scale: float) -> float:
        """A number for the update after `made` others; scale multiplies the learning rate."""
        setting = self._settings[name]
        try:
            value = setting.at(made) if isinstance(setting, Schedule) else setting
        except Exception as error:
            raise SettingError(f"{self.name}: {name} = {setting!r} failed for update {made + 1}: {error}") from error
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SettingError(f"{self.name}: {name} = {setting!r} gives {value!r} for update {made + 1}")
        return value * scale if name == "lr" else value

    def set(self, made: int, scale: float) -> None:
        """Set the numbers for the update after `made` others."""
        self.numbers.t = made + 1
        if scale == self._scale and not self.schedules:
            return
        values = vars(self.numbers)
        for name in self.schedules:
            values[name] = self.number(name, made, scale)
        if scale != self._scale:
            self._scale, values["lr"] = scale, self.number("lr", made, scale)

    def read(self, row: Tensor, t: Tensor) -> Numbers:
        """The numbers as elements of a row of a table."""
        return Numbers({**{name: row[k] for k, name in enumerate(self.names, self.column)}, "t": t})
