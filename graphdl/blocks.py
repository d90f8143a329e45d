"""Batches for several training steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.graph import Key


@dataclass(frozen=True)
class Block:
    """Batches of one shape.

    inputs  {name: (K, n, ...)}, or with rows a data set {name: (N, ...)}
    rows    (K, n), the rows of each batch
    """

    inputs: Mapping[Key, Tensor]
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())) if self.rows is None else self.rows)

    @property
    def size(self) -> int:
        """The number of rows of a batch."""
        shape = (next(iter(self.inputs.values())) if self.rows is None else self.rows).shape
        return shape[1] if len(shape) > 1 else 1

    def batch(self, k: int) -> dict[Key, Tensor]:
        """One batch."""
        if self.rows is None:
            return {name: tensor[k] for name, tensor in self.inputs.items()}
        rows = self.rows[k]
        return {name: tensor.index_select(0, rows.to(tensor.device)) for name, tensor in self.inputs.items()}

    def part(self, start: int, stop: int) -> Block:
        """Some of the batches."""
        if stop - start == len(self):
            return self
        if self.rows is not None:
            return Block(self.inputs, self.rows[start:stop])
        return Block({name: tensor[start:stop] for name, tensor in self.inputs.items()})

    def stacked(self, name: Key) -> Tensor:
        """The batches of one input, (K, n, ...)."""
        tensor = self.inputs[name]
        return tensor if self.rows is None else tensor[self.rows.to(tensor.device)]

    def layout(self) -> dict[Key, tuple[tuple[int, ...], torch.dtype]]:
        """The shape and type of each input of a batch."""
        batch = () if self.rows is None else tuple(self.rows.shape[1:])
        return {name: (batch + tuple(tensor.shape[1:]), tensor.dtype) for name, tensor in self.inputs.items()}
