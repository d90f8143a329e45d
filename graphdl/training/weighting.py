"""Training with weights of rows: the network whose losses are weighted, on the tensors of the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.arguments import to_tensor
from graphdl.data.weights import classes_of_rows, weights_by_class
from graphdl.errors import SettingError, ShapeError, listing
from graphdl.graph import Feed, Key
from graphdl.network import Network
from graphdl.operators import Weighted

SAMPLE_WEIGHT = "sample_weight"
"""The input of the weights; its slot in the losses has the same name."""


def weighted(net: Network, inputs: Mapping[Key, Tensor], weights: Tensor) -> tuple[Network, dict[Key, Tensor]]:
    """A network over the same tensors in which each loss is `Weighted`, and its inputs, with the weights (n) of rows.

    Training it trains the network. Raises SettingError if a loss cannot be weighted, or is already.
    """
    return _with_weighted_losses(net), {**inputs, SAMPLE_WEIGHT: weights.to(net.device, net.dtype)}


def _with_weighted_losses(net: Network) -> Network:
    if SAMPLE_WEIGHT in net.engine.inputs or SAMPLE_WEIGHT in net.graph:
        raise SettingError(
            f"sample_weight= and class_weight= add an input {SAMPLE_WEIGHT!r}, and the network has a node or an input "
            "of this name: rename it, or, if it feeds a Weighted loss, give the weights as this input."
        )
    if done := [key for key in net.losses if isinstance(net.engine.loss(key), Weighted)]:
        raise SettingError(
            f"{listing(done)} is weighted already by an input of the network: give the weights as that input, and "
            "neither sample_weight= nor class_weight=."
        )
    losses = {key: Weighted(net.engine.loss(key)) for key in net.losses if net.graph.nodes[key]["owner"] == key}
    return net._with_losses(losses, {SAMPLE_WEIGHT: tuple(Feed(key, slot=SAMPLE_WEIGHT) for key in net.losses)})


def row_weights(
    count: int,
    sample_weight: Any,
    class_weight: Any = None,
    targets: Tensor | None = None,
    ignored: int | None = None,
    rows: Tensor | None = None,
) -> Tensor:
    """The weights of rows: those given times those of their classes, divided by their mean over the rows in use.

    targets  of the single loss, by which rows have classes; `ignored` is the class that does not count
    rows     the rows in use; None for all

    Raises SettingError for weights that are negative, not finite or all 0; ShapeError for another number of them.
    """
    weights = torch.ones(count, dtype=torch.float64)
    if sample_weight is not None:
        given = to_tensor(sample_weight, "sample_weight", torch.device("cpu"), torch.float64).detach().double()
        if given.shape != (count,):
            raise ShapeError(
                f"sample_weight has the shape {tuple(given.shape)}, and the data have {count} rows: give one number "
                f"for each row, ({count},)."
            )
        weights = weights * given
    if class_weight is not None:
        if targets is None:
            raise SettingError(
                "class_weight needs one loss with one target that names the class of a row: give sample_weight, or set "
                "class_weight of the losses."
            )
        weights = weights * weights_by_class(class_weight, classes_of_rows(targets, "targets", ignored), rows)
    if not torch.isfinite(weights).all() or bool((weights < 0).any()):
        wrong = weights[~(torch.isfinite(weights) & (weights >= 0))][0]
        raise SettingError(f"Weights of rows and classes must be finite numbers of at least 0, and one is {wrong:g}.")
    mean = (weights if rows is None else weights[rows]).mean()
    if mean == 0:
        raise SettingError("All rows have the weight 0: leave such rows out, or give at least one a larger weight.")
    return weights / mean
