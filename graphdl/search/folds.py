"""The folds of a cross-validation, by scikit-learn's splitters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.data import kfold
from graphdl.data.checks import whole_number
from graphdl.errors import SettingError, counted
from graphdl.graph import sources_by_role
from graphdl.network import Network
from graphdl.search.shared import SharedData

Split: TypeAlias = tuple[Tensor, Tensor]
"""The rows for training and those of the fold."""


def count_folds(folds: Any) -> int:
    """The number of folds; 0 for None. Raises SettingError for what is neither a number nor a splitter."""
    if folds is None:
        return 0
    if hasattr(folds, "split") and hasattr(folds, "get_n_splits"):
        return int(folds.get_n_splits())
    if isinstance(folds, bool) or not isinstance(folds, int):
        raise SettingError(f"folds must be a number, 2 or more, or a splitter of scikit-learn, not {folds!r:.200}.")
    return whole_number("folds", folds, least=2)


def make_folds(folds: Any, net: Network, data: SharedData) -> Sequence[Split]:
    """The rows of each fold, (m,) int64 each.

    For a number, rows are shuffled from the seed 0, and folds keep the proportions of classes if the targets are class
    indices (n,) or one-hot (n, c). Raises SettingError if the rows cannot be split.
    """
    named = data.named(net)
    rows, classes = len(next(iter(named.values()))), _classes(net, named)
    if isinstance(folds, int):
        _check_classes(folds, classes)
        return kfold(rows, folds, seed=0, stratify=classes)
    try:
        found = list(folds.split(torch.zeros(rows, 1).numpy(), None if classes is None else classes.numpy()))
    except (TypeError, ValueError) as error:
        raise SettingError(f"folds: {rows} rows cannot be split. scikit-learn reported: {error}") from error
    return [(torch.as_tensor(training).long(), torch.as_tensor(test).long()) for training, test in found]


def _check_classes(folds: int, classes: Tensor | None) -> None:
    """Raise SettingError if a class has fewer rows than there are folds."""
    if classes is None or folds > len(classes):
        return
    for label, rows in sorted(Counter(classes.tolist()).items()):
        if rows < folds:
            raise SettingError(f"the class {label} has {counted(rows, 'row')}, but folds={folds} needs {folds}.")


def _classes(net: Network, named: dict[Any, Tensor]) -> Tensor | None:
    """The class of each row, (n,); None if the targets are not classes."""
    names = {source for loss in net.losses for source in sources_by_role(net.graph, loss, "target")} & named.keys()
    if len(names) != 1:
        return None
    target = named[names.pop()].cpu()
    if not target.is_floating_point() and target.dim() == 1:
        return target
    if target.dim() == 2 and bool(((target == 0) | (target == 1)).all()):
        if target.shape[1] == 1:
            return target[:, 0].long()
        if bool((target.sum(1) == 1).all()):
            return target.argmax(1)
    return None
