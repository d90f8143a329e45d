"""An optimizer's rule, bound to the parameters of some nodes and to where their gradients are written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphdl.errors import OperatorError
from graphdl.execution.parameters import Extent, ParameterStore, padded
from graphdl.graph import Key

if TYPE_CHECKING:
    from graphdl.optim.optimizer import Optimizer, State


class Update:
    """One call that moves the parameters of some nodes by their gradients.

    extents    its parameters
    gradients  node -> {parameter: the tensor into which its gradient is to be written before the call}
    """

    def __init__(
        self,
        optimizer: Optimizer,
        store: ParameterStore,
        state: State,
        count: Tensor,
        nodes: Collection[Key],
        memory: Tensor,
    ) -> None:
        self._rule, self._count = optimizer.update, count
        self._parts: list[tuple[Tensor, Tensor, State]] = []
        self._destinations: list[Tensor] = []
        self.extents: list[Extent] = []
        self.gradients: dict[Key, dict[str, Tensor]] = {node: {} for node in nodes}
        start = 0
        for run in store.runs(nodes):
            first, stop = run[0].start, run[-1].stop
            part = slice(first, stop)
            g = memory[start : start + stop - first]
            self._parts.append((store.flat[part], g, tuple(vector[part] for vector in state)))
            for extent in run:
                self.gradients[extent.node][extent.name] = extent.view(g, first)
                self._destinations.append(self.gradients[extent.node][extent.name])
            self.extents += run
            start += padded(stop - first)

    def take(self, gradients: Sequence[Tensor]) -> None:
        """Write gradients in the order of `extents` where they are to be; torch would stretch some of a wrong shape."""
        for extent, gradient in zip(self.extents, gradients, strict=True):
            if gradient.shape != extent.shape:
                raise OperatorError(
                    f"{extent.node}: the gradient of the parameter {extent.name!r} has the shape "
                    f"{tuple(gradient.shape)}, and the parameter {tuple(extent.shape)}. Its backward is wrong: see "
                    "graphdl.check_gradients."
                )
        if gradients:
            torch._foreach_copy_(self._destinations, list(gradients))

    def __call__(self) -> None:
        """Move the parameters."""
        for w, g, state in self._parts:
            self._rule(w, g, state, self._count)
