"""What an estimator trains: a network, and rows of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphdl.graph import Key
from graphdl.network import Network
from graphdl.sklearn.networks import Ends
from graphdl.training import History, fit
from graphdl.training.weighting import weighted

Rows = NDArray[Any]

AUTO_BATCH = 200
"""The most rows of a batch by default, as in scikit-learn's perceptrons."""


@dataclass
class Task:
    """A network and the data on which it is trained.

    net        the network of the estimator
    inputs     the tensors of all rows, by the names of the network's inputs
    weights    the weights of the rows, or None
    rows       the indices of the rows that train, None for all
    held       the indices of the rows that are held back for early stopping, or None
    """

    net: Network
    ends: Ends
    inputs: dict[Key, Tensor]
    weights: NDArray[Any] | None = None
    rows: Rows | None = None
    held: Rows | None = None
    trained: Network = field(init=False)
    """The network that is trained: `net`, or one over its tensors with weighted losses."""

    def __post_init__(self) -> None:
        self.trained = self.net
        if self.weights is not None:
            self.trained, self.inputs = weighted(self.net, self.inputs, torch.from_numpy(self.weights))

    @property
    def count(self) -> int:
        """The number of rows that train."""
        return len(next(iter(self.inputs.values()))) if self.rows is None else len(self.rows)

    def batch_size(self, given: Any) -> Any:
        """The number of rows of a batch; there may be fewer."""
        if given == "auto":
            return AUTO_BATCH
        return given if given is not None else self.count

    def chosen(self, rows: Rows | None) -> dict[Key, Tensor]:
        """The tensors of these rows."""
        if rows is None:
            return self.inputs
        index = torch.from_numpy(rows)
        return {name: tensor[index] for name, tensor in self.inputs.items()}

    def fit(self, optimizer: Any, options: Mapping[str, Any]) -> History:
        """Train; options are those of fit."""
        validation = None if self.held is None else self.chosen(self.held)
        return fit(self.trained, self.chosen(self.rows), optimizer=optimizer, validation=validation, **options)


def scaled(weights: NDArray[Any], rows: Rows | None) -> NDArray[Any]:
    """Weights of rows divided by the mean of those that train, so that they do not change the size of steps."""
    mean = weights.mean() if rows is None else weights[rows].mean()
    return numpy.asarray(weights / mean)
