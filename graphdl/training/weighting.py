"""Training with weights of rows: the network whose losses are weighted, on the tensors of the network itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphdl.arguments import to_tensor
from graphdl.data.weights import class_indices, weights_by_class
from graphdl.errors import SettingError, ShapeError, listing
from graphdl.execution.engine import Engine
from graphdl.graph import Feed, cut_part
from graphdl.network import Network
from graphdl.operators import Loss, Weighted

if TYPE_CHECKING:
    from graphdl.graph.build import Graph

SAMPLE_WEIGHT = "sample_weight"
"""The input of the weights; its slot in the losses has the same name."""


class FollowingEngine(Engine):
    """The engine of a network on the tensors of another one; what is frozen there is frozen here."""

    def __init__(self, graph: Graph, other: Engine) -> None:
        self._other, self._seen = other, other.version
        super().__init__(graph, other.generator, other.device, other.dtype, other.store, other.outputs)
        self.frozen = other.frozen

    @property
    def version(self) -> int:
        """That of the other engine."""
        other = self._other
        if self._seen != other.version:
            self._seen, self.frozen = other.version, other.frozen
            self.device, self.dtype = other.device, other.dtype
            self._loss_gradients.clear()
            self._weights.clear()
        return other.version

    @version.setter
    def version(self, value: int) -> None:
        """It follows the other engine."""


def with_weighted_losses(net: Network) -> Network:
    """A network over the same tensors, in which each loss is `Weighted` by the input sample_weight.

    Training it trains the network. Raises SettingError if a loss cannot be weighted, or is already.
    """
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
    cut = cut_part(net.graph, net.order, net.engine.inputs, net.inputs, net.outputs)
    weighted = Network.__new__(Network)
    weighted._operators = {
        key: Weighted(operator) if isinstance(operator, Loss) else operator for key, operator in cut.operators.items()
    }
    feeds = tuple(Feed(key, slot=SAMPLE_WEIGHT) for key in net.losses)
    weighted._connectivity = {**cut.connectivity, SAMPLE_WEIGHT: feeds}
    weighted._set_up(net.generator, net.device, net.dtype, net.engine.store)
    weighted.engine = FollowingEngine(weighted.graph, net.engine)
    return weighted


def row_weights(
    count: int, sample_weight: Any, class_weight: Any, targets: Tensor | None, ignored: int | None, rows: Tensor | None
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
        weights = weights * weights_by_class(class_weight, class_indices(targets, "targets", ignored), rows)
    if not torch.isfinite(weights).all() or bool((weights < 0).any()):
        wrong = weights[~(torch.isfinite(weights) & (weights >= 0))][0]
        raise SettingError(
            f"sample_weight and class_weight must be finite numbers of at least 0, and one is {wrong:g}."
        )
    mean = (weights if rows is None else weights[rows]).mean()
    if mean == 0:
        raise SettingError("sample_weight and class_weight are 0 for all rows: there is nothing to train on.")
    return weights / mean
