"""A look at the data before training: what the steps, for the sake of speed, do not check."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from graphdl.data import Batches
from graphdl.errors import GraphDLWarning, ShapeError, level_outside
from graphdl.execution.targets import check_targets
from graphdl.graph import Key, sources_by_role
from graphdl.network import Network
from graphdl.operators import CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from graphdl.training.batching import Batch, NamedBatches
from graphdl.training.metrics import Accuracy, OverRows
from graphdl.training.scoring import Scorer

REGRESSION = MSELoss, L1Loss, SmoothL1Loss, HuberLoss


def inspected(net: Network, scorer: Scorer, batches: Iterable[Batch]) -> Iterable[Batch]:
    """The batches: tensors are checked at once, and of an iterable of batches the first one when it comes."""
    look = partial(inspect_batch, net, scorer)
    if isinstance(batches, NamedBatches):
        return batches.looked_at(look)
    if isinstance(batches, Batches):
        look(batches.inputs)
    return batches


def inspect_batch(net: Network, scorer: Scorer, inputs: Mapping[Key, Tensor]) -> None:
    """Raise SettingError for targets that their loss is not defined for; warn of what is probably a mistake."""
    check_targets(net.graph, net.losses, inputs)
    _advise_on_whole_numbers(net, inputs)
    for name, metric, loss, target in scorer.compared:
        by_class = isinstance(metric, Accuracy) or (isinstance(metric, OverRows) and metric.metric.classes)
        regression = by_class and isinstance(net.engine.loss(loss), REGRESSION)
        if regression and target in inputs and not _names_classes(inputs[target]):
            warnings.warn(
                f"{name} compares classes, and the target {target!r} of {loss} "
                f"({type(net.engine.loss(loss)).__name__}) holds other numbers than labels, one-hot rows or "
                "probabilities, as in a regression. Remove the metric, or give a function (prediction, target) -> "
                "number.",
                GraphDLWarning,
                stacklevel=level_outside(),
            )


@torch.no_grad()
def _advise_on_whole_numbers(net: Network, inputs: Mapping[Key, Tensor]) -> None:
    """Warn of rows of several classes that CrossEntropyLoss takes as probabilities, though they are integers."""
    known = {name: tensor for name, tensor in inputs.items() if name in net.inputs}  # weights of rows are none
    for key in net.losses:
        loss = getattr(net.engine.loss(key), "loss", net.engine.loss(key))
        for name in sources_by_role(net.graph, key, "target") if isinstance(loss, CrossEntropyLoss) else ():
            target = inputs.get(name)
            if target is None or target.is_floating_point() or target.dim() < 2:
                continue
            prediction = sources_by_role(net.graph, key, "prediction")[0]
            with suppress(ShapeError):  # which the first step reports
                if net.shapes(known).get(prediction) == target.shape and (found := loss.check_target(target.float())):
                    text = f"{key} ({type(net.engine.loss(key)).__name__}): the target {name!r} {found}."
                    warnings.warn(text, GraphDLWarning, stacklevel=level_outside())


@torch.no_grad()
def _names_classes(target: Tensor) -> bool:
    """Whether targets are whole numbers, or probabilities of several classes."""
    if not target.is_floating_point() or bool((target == target.round()).all()):
        return True
    several = target.dim() > 1 and target.shape[1] > 1
    return several and bool((target >= 0).all()) and bool(((target.sum(1) - 1).abs() < 1e-2).all())
