"""The figure by which settings are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.metrics import is_maximised


@dataclass(frozen=True)
class Figure:
    """A loss or a metric by which members are compared.

    maximise  whether higher is better
    """

    name: str
    maximise: bool

    def of(self, figures: Mapping[str, float]) -> float | None:
        """Its value; None if there is none, or it is not a number."""
        value = figures.get(self.name, math.nan)
        return None if math.isnan(value) else value

    def better(self, one: float, other: float) -> bool:
        """Whether one value is better than another."""
        return one > other if self.maximise else one < other


def choose_figure(names: Sequence[str], by: str | None = None, maximise: bool | None = None) -> Figure:
    """The figure with a name; by default the last metric of validation data, the validation loss, or the loss.

    names     of the figures of an epoch
    maximise  by default True for the metrics of which higher is better

    Raises SettingError for a name that is not one of them.
    """
    if maximise is not None and not isinstance(maximise, bool):
        raise SettingError(f"maximise must be True, False or None, not {maximise!r}.")
    if by is None:
        validation = [name for name in names if name.startswith("validation_")]
        by = validation[-1] if validation else "loss"
        metrics = [name for name in validation if not name.startswith("validation_loss")]
        by = metrics[-1] if metrics else "validation_loss" if validation else "loss"
    if by not in names:
        meant = re.sub("^val_", "validation_", str(by))
        validated = any(name.startswith("validation_") for name in names)
        hint = " It needs validation data or folds." if meant.startswith("validation_") and not validated else ""
        close = "" if hint else did_you_mean(meant, names)
        raise SettingError(f"by={by!r} is not a figure of this training.{close} The figures are "
                           f"{listing(names)}.{hint}")  # fmt: skip
    metric = by.removeprefix("validation_").split("_of_")[0]
    return Figure(by, is_maximised(metric) if maximise is None else maximise)
