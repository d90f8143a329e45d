"""An optimizer's rule bound to parameters: what moves them in a step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import OperatorError
from graphdl.execution.parameters import Extent, ParameterStore, padded
from graphdl.graph import Key

if TYPE_CHECKING:
    from graphdl.optim.optimizer import Optimizer, State

LARGE = 2**15
"""Elements from which a parameter moves by a call of its own. To gather its gradient with others would cost more."""

Name: TypeAlias = tuple[Key, str]


class Moves:
    """The calls that move some parameters.

    The small ones move all at once, by gradients written side by side; each large one moves by its own gradient,
    wherever that lies, so that it can go at once.

    extents   the parameters
    gathered  (node, name) -> where the gradient of a small one is to be written before `gather` is called
    single    (node, name) -> the call that moves a large one by its gradient
    """

    def __init__(
        self,
        optimizer: Optimizer,
        store: ParameterStore,
        state: State,
        count: Tensor,
        nodes: Collection[Key],
        together: Collection[Key] = (),
    ) -> None:
        self._rule, self._count = optimizer.update, count
        self._parts: list[tuple[Tensor, Tensor, State]] = []
        self.extents: list[Extent] = []
        self.gathered: dict[Name, Tensor] = {}
        self.single: dict[Name, Callable[[Tensor], None]] = {}
        small: list[list[Extent]] = []
        for run in store.runs(nodes):
            small.append([])
            for extent in run:
                self.extents.append(extent)
                if extent.shape.numel() < LARGE or extent.node in together:
                    small[-1].append(extent)
                    continue
                part = slice(extent.start, extent.stop)
                state_part = tuple(vector[part] for vector in state)
                self.single[extent.node, extent.name] = partial(self._move, store.flat[part], state_part)
                small.append([])
        self._gather(store, state, [run for run in small if run])

    def _gather(self, store: ParameterStore, state: State, runs: Sequence[Sequence[Extent]]) -> None:
        """Make room for the small gradients, those of neighbours side by side."""
        lengths = [run[-1].stop - run[0].start for run in runs]
        memory = store.flat.new_zeros(sum(map(padded, lengths)))
        start = 0
        for run, length in zip(runs, lengths, strict=True):
            first = run[0].start
            g, part = memory[start : start + length], slice(first, first + length)
            self._parts.append((store.flat[part], g, tuple(vector[part] for vector in state)))
            for extent in run:
                self.gathered[extent.node, extent.name] = extent.view(g, first)
            start += padded(length)

    def _move(self, w: Tensor, state: State, gradient: Tensor) -> None:
        self._rule(w, gradient.reshape(-1), state, self._count)

    def gather(self) -> None:
        """Move the small parameters."""
        for w, g, state in self._parts:
            self._rule(w, g, state, self._count)

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Move all parameters by gradients in the order of `extents`; torch would stretch some of a wrong shape."""
        small, places = [], []
        for extent, gradient in zip(self.extents, gradients, strict=True):
            if gradient.shape != extent.shape:
                raise OperatorError(
                    f"{extent.node}: the gradient of the parameter {extent.name!r} has the shape "
                    f"{tuple(gradient.shape)}, and the parameter {tuple(extent.shape)}. Its backward is wrong: see "
                    "graphdl.check_gradients."
                )
        for extent, gradient in zip(self.extents, gradients, strict=True):
            name = extent.node, extent.name
            if name in self.single:
                self.single[name](gradient)
            else:
                small.append(gradient)
                places.append(self.gathered[name])
        if small:
            torch._foreach_copy_(places, small)
        self.gather()
