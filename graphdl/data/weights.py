"""Weights of classes, and of rows by their classes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphdl.data.checks import whole_number
from graphdl.errors import SettingError, ShapeError
from graphdl.intake import as_tensor
from graphdl.operators.shared.target_values import TOLERANCE

__all__ = ["class_weights"]


def class_weights(labels: Any, classes: int | None = None) -> tuple[float, ...]:
    """Weights with which all classes count alike: n / (c n_k) for a class k with n_k of the n rows.

    labels (n,) class indices, or one-hot (n, c) -> c numbers, for CrossEntropyLoss(class_weight=...). A class without
    rows gets 0. `classes` is the number of classes c, if labels may lack the last ones; c in the formula counts those
    that have rows. These are the weights that scikit-learn calls "balanced".

    Raises SettingError if labels are not classes, or are not below `classes`.

    >>> class_weights([0, 0, 0, 1])
    (0.6666666666666666, 2.0)
    """
    indices = classes_of_rows(as_tensor(labels, "labels"), "labels")
    least = int(indices.max()) + 1 if len(indices) else 1
    counts = indices.bincount(minlength=least if classes is None else whole_number("classes", classes, least))
    weights = len(indices) / (max(int((counts > 0).sum()), 1) * counts.double())
    return tuple(weights.masked_fill(counts == 0, 0).tolist())


def classes_of_rows(targets: Tensor, what: str, ignored: int | None = None) -> Tensor:
    """The class of each row, (n,) on the CPU; -1 where it is the ignored one.

    targets (n) or (n, 1) of whole numbers from 0, or (n, c) of probabilities that sum to 1, such as one-hot rows.
    Raises SettingError for others.
    """
    if targets.dim() == 2 and targets.shape[1] > 1 and not targets.is_complex():
        rows = targets.detach().cpu()
        sums = rows.double().sum(1)
        if bool((rows < 0).any()) or not bool(((sums - 1).abs() <= TOLERANCE).all()):
            raise SettingError(
                f"{what} {tuple(rows.shape)} are not the probabilities of classes, which are at least 0 and sum to 1 "
                "in each row, so a row has no class: give class indices (n,), one-hot rows, or the weights of rows, "
                "fit(sample_weight=...). Several labels in a row are weighted by the loss: BCEWithLogitsLoss takes "
                "class_weight and pos_weight."
            )
        return rows.argmax(1)
    flat = targets.detach().cpu().reshape(-1)
    if targets.dim() not in (1, 2) or targets.is_complex():
        raise ShapeError(f"{what} have the shape {tuple(targets.shape)}: give the class of each row, (n,) or (n, c).")
    indices = flat.long()
    counted = torch.ones_like(indices, dtype=torch.bool) if ignored is None else indices != ignored
    if flat.is_floating_point() and not torch.equal(indices.to(flat.dtype), flat):
        raise SettingError(f"{what} hold {float(flat[indices != flat][0]):g}, which is not the number of a class: "
                           "weights by class need class indices, or one-hot targets.")  # fmt: skip
    if bool((indices[counted] < 0).any()):
        raise SettingError(f"{what} hold {int(indices[counted].min())}: classes are numbered from 0.")
    return indices.masked_fill(~counted, -1)


def weights_by_class(class_weight: Any, indices: Tensor, rows: Tensor | None = None) -> Tensor:
    """The weight of each row, (n,): that of its class. It is 1 for rows without a class, whose index is -1.

    class_weight  "balanced", {class: weight} where others have 1, or one number for each class
    rows          the rows that "balanced" counts; None for all
    """
    used = indices if rows is None else indices[rows]
    classes = max(int(indices.max()) + 1, 1) if len(indices) else 1
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise SettingError(f'class_weight is {class_weight!r}: the only word that it takes is "balanced".')
        table = dict(enumerate(class_weights(used[used >= 0], classes)))
    elif isinstance(class_weight, Mapping):
        table = dict(class_weight)
    elif isinstance(class_weight, (Sequence, Tensor)) or hasattr(class_weight, "tolist"):
        table = dict(enumerate(class_weight.tolist() if hasattr(class_weight, "tolist") else class_weight))
        if len(table) < classes:
            raise SettingError(f"class_weight has {len(table)} numbers, and the targets {classes} classes: give one "
                               "for each class.")  # fmt: skip
    else:
        raise SettingError(f'class_weight is {class_weight!r:.100}: give "balanced", {{class: weight}}, or one number '
                           "for each class.")  # fmt: skip
    found = torch.ones(classes + 1, dtype=torch.float64)  # the last one is that of -1
    for label, weight in table.items():
        if not isinstance(label, numbers.Integral) or not isinstance(weight, numbers.Real) or label < 0:
            raise SettingError(f"class_weight has {label!r}: {weight!r}, which is not a class and its weight.")
        if int(label) < classes:
            found[int(label)] = float(weight)
        elif isinstance(class_weight, Mapping):
            raise SettingError(
                f"class_weight has the class {label!r}, but the targets have classes 0 to {classes - 1}: remove it."
            )
    return found[indices]
