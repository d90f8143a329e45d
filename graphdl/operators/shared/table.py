"""Tables whose rows are read by index.

Embedding and EmbeddingBag share this base class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError
from graphdl.initializers import Initializer
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import Operator, Parameter
from graphdl.operators.shared.indices import range_of


class Table(Operator):
    """A table of learned rows, which subclasses declare by these settings."""

    family: ClassVar = "embedding"

    num_embeddings: Any
    embedding_dim: Any
    padding_idx: Any
    max_norm: Any
    norm_type: Any
    scale_grad_by_freq: Any
    weight: Any

    def check_settings(self) -> None:
        name = type(self).__name__
        if self.padding_idx is not None and not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
            raise SettingError(
                f"{name}: padding_idx must be one of the {self.num_embeddings} indices, not {self.padding_idx}"
            )
        if not self.norm_type > 0:
            raise SettingError(f"{name}: norm_type must be a positive number or infinity, not {self.norm_type}")

    @property
    def padding(self) -> int | None:
        """The index of padding, counted from the start."""
        return None if self.padding_idx is None else self.padding_idx % self.num_embeddings

    def parameters(self) -> dict[str, Parameter]:
        first = self.weight if self.padding is None else WithoutRow(self.weight, self.padding)
        return {"weight": Parameter((self.num_embeddings, self.embedding_dim), first)}

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        return KnownSizes({-1: self.embedding_dim})

    def bounded(self, rows: Tensor) -> Tensor:
        """The rows, those with a larger norm than max_norm scaled down to it as torch does."""
        if self.max_norm is None:
            return rows
        norms = torch.linalg.vector_norm(rows, self.norm_type, -1, keepdim=True)
        scales = torch.add(norms, 1e-7).reciprocal_().mul_(self.max_norm)
        return rows * scales.masked_fill_(norms <= self.max_norm, 1)

    def describe(self) -> str:
        chosen = [] if self.padding_idx is None else [f"padding_idx {self.padding_idx}"]
        chosen += [] if self.max_norm is None else [f"max_norm {self.max_norm:g}"]
        chosen += [] if self.norm_type == 2 else [f"norm_type {self.norm_type:g}"]
        chosen += ["by frequency"] if self.scale_grad_by_freq else []
        return ", ".join([f"{self.num_embeddings} → {self.embedding_dim}", *chosen])

    def expects(self, *inputs: Tensor) -> str:
        return f"indices from 0 to {self.num_embeddings - 1}{range_of(*inputs[:1])}"


@dataclass(frozen=True)
class WithoutRow:
    """Another initializer's values, with zeros in one row."""

    initializer: Initializer
    row: int

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        self.initializer(parameter, generator)[self.row] = 0
        return parameter
