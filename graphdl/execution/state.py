"""The state of a network and its optimizer at one moment, to go back to."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from graphdl.execution.engine import Engine


class Snapshot:
    """Copies of tensors, of the network's buffers and of the random generators; as a context, restored at its end.

    tensors  what steps change beside the buffers: parameters and what the optimizer keeps; none where these stay
    """

    def __init__(self, engine: Engine, tensors: Iterable[Tensor] = ()) -> None:
        self._engine = engine
        self._tensors = [*tensors, *engine.store.buffers.values()]
        self._copies = [tensor.clone() for tensor in self._tensors]
        self._chance, self._world = engine.chance.get_state(), torch.get_rng_state()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *error: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Make everything what it was."""
        for tensor, copy in zip(self._tensors, self._copies, strict=True):
            tensor.copy_(copy)
        self._engine.chance.set_state(self._chance)
        torch.set_rng_state(self._world)
