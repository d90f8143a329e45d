"""Splits of a data set into training, validation and test data, and into folds for cross-validation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy
import torch

from graphdl.data.checks import common_rows, finite_number, scikit_learn, whole_number
from graphdl.errors import SettingError, ShapeError, listing
from graphdl.intake import as_tensor, is_array, unpacked

__all__ = ["kfold", "split"]

LARGEST_SEED = 2**32 - 1
TOLERANCE = 1e-6


def split(
    *tensors: Any,
    fractions: Sequence[float] = (0.8, 0.2),
    seed: int | None = None,
    stratify: Any = None,
) -> tuple[tuple[torch.Tensor, ...], ...]:
    """Split tensors at random into one part for each fraction, with the same rows of all tensors.

    tensors (n, ...) each -> one tuple for each part, with the rows (n_k, ...) of each tensor;
    n_k = round(n (f_1 + ... + f_k)) - round(n (f_1 + ... + f_k-1))
    Arrays, lists, and tables of pandas become tensors. A Bunch of scikit-learn or a TensorDataset stands for its inputs
    and targets.

    Every row is in exactly one part, in random order; the tensors keep their devices. `stratify` (n,) holds labels
    whose classes have the same proportions in each part as in the whole, up to rounding. A seed makes the split
    reproducible; None draws one from torch's global generator. It uses sklearn.model_selection.train_test_split.

    Raises SettingError if there are fewer than two fractions, if they are not positive or do not sum to 1, or if a part
    would have no rows or too few for the classes of `stratify`; ShapeError if the tensors differ in length or
    `stratify` is not (n,); MissingPackageError without scikit-learn.

    >>> x, y = torch.rand(10, 2), torch.arange(10)
    >>> (x_train, y_train), (x_test, y_test) = split(x, y, fractions=(0.8, 0.2), seed=0)
    >>> x_train.shape, y_test.shape
    (torch.Size([8, 2]), torch.Size([2]))
    """
    if len(tensors) == 1:
        tensors = tuple(each for each in unpacked(tensors[0]) if each is not None)
    named = {f"tensor {k}": as_tensor(each, f"tensor {k}") for k, each in enumerate(tensors, start=1)}
    rows = common_rows(named)
    sizes = _sizes(rows, fractions)
    classes = None if stratify is None else _classes(rows, stratify)
    parts = _partition(sizes, classes, _seed(seed))
    return tuple(tuple(tensor[part.to(tensor.device)] for tensor in named.values()) for part in parts)


def kfold(
    rows: Any, folds: int = 5, *, seed: int | None = None, stratify: Any = None
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """The row numbers of training and validation data for each fold of a cross-validation.

    rows n, or an array with n rows -> for each fold, (training (n - n_k,), validation (n_k,)), int64, on the CPU, in
    increasing order; the n_k differ by at most one

    Every row is in the validation data of exactly one fold. `stratify` (n,) holds labels whose classes have the same
    proportions in each fold as in the whole, up to rounding. A seed makes the folds reproducible; None draws one from
    torch's global generator. It uses KFold and StratifiedKFold of sklearn.model_selection, with shuffling.

    Raises SettingError if folds is not a whole number from 2 to n, or is larger than a class of `stratify`; ShapeError
    if `stratify` is not (n,); MissingPackageError without scikit-learn.

    >>> [(len(training), len(validation)) for training, validation in kfold(10, folds=4, seed=0)]
    [(7, 3), (7, 3), (8, 2), (8, 2)]
    """
    count = common_rows({"rows": as_tensor(rows, "rows")}) if is_array(rows) else rows
    rows = whole_number("rows", count, least=2)
    folds = whole_number("folds", folds, least=2, most=rows)
    classes = None if stratify is None else _classes(rows, stratify)
    if classes is not None and folds > (smallest := int(classes.bincount().min())):
        raise SettingError(
            f"folds is {folds}, but the smallest class of stratify has {smallest} rows, and each fold needs one: "
            "give fewer folds, or remove stratify."
        )
    selection = scikit_learn("sklearn.model_selection", "kfold()")
    splitter = selection.KFold if classes is None else selection.StratifiedKFold
    splits = splitter(folds, shuffle=True, random_state=_seed(seed)).split(
        range(rows), None if classes is None else classes.numpy()
    )
    return tuple((torch.from_numpy(training), torch.from_numpy(validation)) for training, validation in splits)


def _seed(seed: int | None) -> int:
    """Return the seed, or one that is drawn from torch's global generator."""
    if seed is None:
        return int(torch.randint(LARGEST_SEED, (), device="cpu"))
    return whole_number("seed", seed, least=0, most=LARGEST_SEED)


def _sizes(rows: int, fractions: Sequence[float]) -> list[int]:
    if not isinstance(fractions, Sequence):
        raise SettingError(f"fractions are {fractions!r}: give one number for each part, as in (0.8, 0.2).")
    shares = [finite_number("A fraction", fraction) for fraction in fractions]
    if len(shares) < 2 or min(shares) <= 0 or abs(math.fsum(shares) - 1) > TOLERANCE:
        raise SettingError(
            f"fractions are {tuple(shares)}, which sum to {math.fsum(shares):.6g}: give at least two "
            "positive numbers that sum to 1, as in (0.8, 0.2) or (0.7, 0.15, 0.15)."
        )
    cumulative = list(itertools.accumulate(shares, initial=0.0))
    ends = [round(rows * end / cumulative[-1]) for end in cumulative]
    sizes = [end - start for start, end in itertools.pairwise(ends)]
    if 0 in sizes:
        raise SettingError(
            f"fractions {tuple(shares)} of {rows} rows leave part {sizes.index(0) + 1} without rows: "
            "give more rows or a larger fraction."
        )
    return sizes


def _classes(rows: int, labels: Any) -> torch.Tensor:
    """Return the labels (n,), numbers or strings, as class numbers 0, 1, ... on the CPU."""
    names = numpy.asarray(labels) if not isinstance(labels, torch.Tensor) else None
    if names is not None and names.dtype.kind in "OUS":
        labels = numpy.unique(names.astype(str), return_inverse=True)[1]
    labels = as_tensor(labels, "stratify")
    if common_rows({"stratify": labels}) != rows or labels.ndim != 1:
        raise ShapeError(f"stratify has shape {tuple(labels.shape)}: give one label for each row, shape ({rows},).")
    class_numbers: torch.Tensor = torch.unique(labels.detach().cpu(), return_inverse=True)[1]
    return class_numbers


def _partition(sizes: list[int], classes: torch.Tensor | None, seed: int) -> list[torch.Tensor]:
    """Split the row numbers 0 ... n - 1 into parts of the given sizes."""
    train_test_split = scikit_learn("sklearn.model_selection", "split()").train_test_split
    rest, parts = torch.arange(sum(sizes), device="cpu").numpy(), []
    for size in sizes[:-1]:
        shares = None if classes is None else classes.numpy()[rest]
        try:
            part, rest = train_test_split(
                rest, train_size=size, test_size=len(rest) - size, random_state=seed, stratify=shares
            )
        except ValueError as error:
            raise SettingError(
                f"stratify cannot keep the proportions of classes in parts of {listing(sizes)} rows. scikit-learn "
                f"reported: {error} Give more rows per class or larger fractions, or remove stratify."
            ) from error
        parts.append(torch.from_numpy(part))
    return [*parts, torch.from_numpy(rest)]
