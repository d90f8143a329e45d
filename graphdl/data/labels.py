"""What the rows of predictions and targets hold: one class, or several labels."""

from __future__ import annotations

from torch import Tensor

from graphdl.operators import BCELoss, BCEWithLogitsLoss, Loss, SoftMarginLoss
from graphdl.operators.shared.target_values import TOLERANCE

BINARY = BCELoss, BCEWithLogitsLoss, SoftMarginLoss
"""Losses of each element by itself, whose rows are one-hot or hold several labels."""


def has_several_labels(loss: Loss, prediction: Tensor, target: Tensor) -> bool:
    """Whether each element of a row is a separate label: not all rows are one-hot, or probabilities that sum to 1."""
    if not may_have_several_labels(loss) or not are_rows_of_elements(prediction, target):
        return False
    return bool(without_class(target, loss.target_threshold).any())


def may_have_several_labels(loss: Loss) -> bool:
    """Whether the targets of a loss say if a row has one class or several labels."""
    return isinstance(getattr(loss, "loss", loss), BINARY)


def are_rows_of_elements(prediction: Tensor, target: Tensor) -> bool:
    """Whether there is a target for each of several elements of a row."""
    return target.shape == prediction.shape and target.dim() > 1 and target.shape[1] > 1


def without_class(target: Tensor, threshold: float) -> Tensor:
    """Which rows (n, ...) of targets (n, c, ...) are neither one-hot nor probabilities that sum to 1."""
    single = (target > threshold).sum(1) == 1
    probabilities = (target >= 0).all(1) & ((target.double().sum(1) - 1).abs() < TOLERANCE)
    return ~(single | probabilities)


def classes_of(
    prediction: Tensor, target: Tensor, each: bool, threshold: float, target_threshold: float
) -> tuple[Tensor, Tensor]:
    """The classes predicted and wanted, whose shapes differ if the tensors do not fit.

    each  each element of a row is a separate label; else several elements of a row are those of several classes
    """
    if prediction.dim() > 1 and prediction.shape[1] > 1 and not each:
        return prediction.argmax(1), target.argmax(1) if target.shape == prediction.shape else target
    predicted, wanted = prediction > threshold, target > target_threshold
    return predicted.squeeze(1) if predicted.dim() == wanted.dim() + 1 else predicted, wanted


def by_rows(x: Tensor) -> Tensor:
    """(n, c, ...) as (m, c)."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]) if x.dim() > 2 else x
