"""What the values of targets must be. Each check takes all targets at once, before training."""

from __future__ import annotations

from torch import Tensor

from graphdl.errors import SettingError

TOLERANCE = 1e-2
"""By how much rounding may move a probability, also in types of low precision."""


def check_labels(target: Tensor) -> None:
    """Raise SettingError unless all values are from 0 to 1."""
    low, high = _ends(target)
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        hint = ". Class indices are taken by CrossEntropyLoss" if low >= 0 else ""
        hint = ". Write (labels + 1) / 2 for labels -1 and 1" if low == -1 and high == 1 else hint
        raise SettingError(f"holds values from {low:g} to {high:g}, and expected are labels from 0 to 1{hint}")


def check_signs(target: Tensor) -> None:
    """Raise SettingError unless all values are 1 or -1."""
    if ((target != 1) & (target != -1)).any():
        low, high = _ends(target)
        raise SettingError(
            f"holds values from {low:g} to {high:g}, and expected are 1 and -1 only. Write 2 * labels - 1 for labels 0 "
            "and 1"
        )


def check_counted(target: Tensor, ignored: int) -> None:
    """Raise SettingError if no class index counts, so that a mean is not a number."""
    if bool((target == ignored).all()):
        raise SettingError(
            f"holds nothing but {ignored}, which is ignore_index: no row counts, and their mean is not a number. "
            "Give labels of classes, or another ignore_index"
        )


def advise_on_probabilities(target: Tensor, instead: str = "") -> str:
    """Advice on rows (n, c, ...) that do not sum to 1. Raises SettingError for values below 0. Rows of 0 are masked."""
    low = _ends(target)[0]
    if low < -TOLERANCE:
        raise SettingError(f"holds values from {low:g} on, and expected are probabilities: none is below 0")
    if sums_to_one(target, 1):
        return ""
    sums = target.sum(1)
    off = _distance(sums)
    found = float(sums.flatten()[off.argmax()])
    return f"holds rows that sum to {found:g}, and expected are probabilities of classes, which sum to 1{instead}"


def sums_to_one(target: Tensor, axis: int) -> bool:
    """Whether all sums over an axis are 1, or 0 where they are masked."""
    return not bool((_distance(target.sum(axis)) > TOLERANCE).any())


def _distance(sums: Tensor) -> Tensor:
    """How far sums are from 1; masked ones, which are 0, are not."""
    return (sums - 1).abs() * (sums != 0)


def _ends(target: Tensor) -> tuple[float, float]:
    """The smallest and the largest value."""
    low, high = target.aminmax()
    return float(low), float(high)
