"""Bundles of batches, for several training steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from graphdl.graph import Key


class Bundle:
    """Batches of one shape.

    inputs  {name: (K, n, ...)}, or with rows a data set {name: (N, ...)}
    rows    (K, n), the rows of each batch
    size    n, the number of rows of a batch
    """

    def __init__(self, inputs: Mapping[Key, Tensor], rows: Tensor | None = None) -> None:
        self.inputs, self.rows = inputs, None if rows is None else rows.contiguous()
        shape = (next(iter(inputs.values())) if rows is None else rows).shape
        self._count, self.size = shape[0], shape[1] if len(shape) > 1 else 1

    def __len__(self) -> int:
        return self._count

    def batch(self, k: int) -> dict[Key, Tensor]:
        """One batch."""
        if self.rows is None:
            return {name: tensor[k] for name, tensor in self.inputs.items()}
        rows = self.rows[k]
        return {name: tensor.index_select(0, rows.to(tensor.device)) for name, tensor in self.inputs.items()}

    def part(self, start: int, stop: int) -> Bundle:
        """Some of the batches."""
        if stop - start == self._count:
            return self
        if self.rows is not None:
            return Bundle(self.inputs, self.rows[start:stop])
        return Bundle({name: tensor[start:stop] for name, tensor in self.inputs.items()})

    def stacked(self, name: Key) -> Tensor:
        """The batches of one input, (K, n, ...)."""
        tensor = self.inputs[name]
        return tensor if self.rows is None else tensor[self.rows.to(tensor.device)]

    def layout(self) -> dict[Key, tuple[tuple[int, ...], torch.dtype]]:
        """The shape and type of each input of a batch."""
        batch = () if self.rows is None else tuple(self.rows.shape[1:])
        return {name: (batch + tuple(tensor.shape[1:]), tensor.dtype) for name, tensor in self.inputs.items()}
