"""A look at the data before training: what the steps, for the sake of speed, do not check."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from graphdl.data import Batches
from graphdl.data.labels import has_several_labels
from graphdl.errors import GraphDLWarning, level_outside
from graphdl.execution.targets import check_targets
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.operators import HuberLoss, L1Loss, Loss, MSELoss, SmoothL1Loss
from graphdl.training.batching import Batch, NamedBatches
from graphdl.training.metrics import Accuracy, OverRows
from graphdl.training.scoring import Scorer

REGRESSION = MSELoss, L1Loss, SmoothL1Loss, HuberLoss


def inspect_data(net: Network, scorer: Scorer, batches: Iterable[Batch]) -> None:
    """Check tensors at once, and of an iterable of batches the first one when it comes."""
    look = partial(inspect_batch, net, scorer)
    if isinstance(batches, NamedBatches):
        batches.look = look
    elif isinstance(batches, Batches):
        look(batches.inputs)


def inspect_batch(net: Network, scorer: Scorer, inputs: Mapping[Key, Tensor]) -> None:
    """Raise SettingError for targets that their loss is not defined for; warn of what is probably a mistake."""
    check_targets(net.graph, net.losses, inputs)
    for name, metric, loss, target in scorer.compared:
        if target in inputs and (doubt := _doubt(metric, net.engine.loss(loss), inputs[target])):
            kind = type(net.engine.loss(loss)).__name__
            warnings.warn(
                f"{name} {doubt.format(f'the target {target!r} of {loss} ({kind})')} give a function (prediction, "
                "target) -> number.",
                GraphDLWarning,
                stacklevel=level_outside(),
            )


def _doubt(metric: object, loss: Loss, target: Tensor) -> str:
    """Why a metric is probably not meant for a target, with a place for the target; "" if it may be."""
    accuracy = isinstance(metric, Accuracy)
    by_class = accuracy or (isinstance(metric, OverRows) and metric.metric.classes)
    if by_class and isinstance(loss, REGRESSION) and not _names_classes(target):
        return (
            "compares classes, and {} holds other numbers than labels, one-hot rows or probabilities, as in a "
            "regression. Remove the metric, or"
        )
    if accuracy and has_several_labels(loss, target, target):
        return (
            "compares the largest prediction of a row with its largest target, and {} has rows with several labels, or "
            'with none. Use "f1", "precision", "recall" or "auc", which measure each label by itself, or'
        )
    return ""


@torch.no_grad()
def _names_classes(target: Tensor) -> bool:
    """Whether targets are whole numbers, or probabilities of several classes."""
    if not target.is_floating_point() or bool((target == target.round()).all()):
        return True
    several = target.dim() > 1 and target.shape[1] > 1
    return several and bool((target >= 0).all()) and bool(((target.sum(1) - 1).abs() < 1e-2).all())
