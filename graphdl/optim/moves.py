"""An optimizer's rule bound to parameters: what moves them in a step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from graphdl.errors import OperatorError
from graphdl.execution.parameters import Extent, ParameterStore, neighbours, padded
from graphdl.graph import Key

LARGE = 2**14
"""Elements from which a parameter moves by a call of its own, and that a group of smaller ones has at most. A call more
costs 3 µs; the gradients of a group need memory all at once."""

Name: TypeAlias = tuple[Key, str]
State: TypeAlias = tuple[Tensor, ...]
Update: TypeAlias = Callable[[Tensor, Tensor, State, Tensor], None]


class Group:
    """The call that moves small parameters all at once, by gradients that were written side by side before.

    nodes      those whose parameters they are
    gradients  (node, name) -> where the gradient is to be written
    """

    def __init__(self, moves: Moves, extents: Sequence[Extent], memory: Tensor) -> None:
        self._moves = moves
        self._parts: list[tuple[Tensor, Tensor, State]] = []
        self.nodes = frozenset(extent.node for extent in extents)
        self.gradients: dict[Name, Tensor] = {}
        start = 0
        for run in neighbours(extents):
            first, length = run[0].start, run[-1].stop - run[0].start
            g = memory[start : start + length]
            w, state = moves.part(slice(first, first + length))
            self._parts.append((w, g, state))
            self.gradients.update(((extent.node, extent.name), extent.view(g, first)) for extent in run)
            start += padded(length)

    def __call__(self) -> None:
        """Move the parameters."""
        for w, g, state in self._parts:
            self._moves.update(w, g, state, self._moves.count)


class Moves:
    """The calls that move some parameters.

    Small ones move in groups, which share one piece of memory for their gradients; each large one moves by its own
    gradient, wherever that lies. So a gradient can be used as soon as it is known, and be gone.

    update   the optimizer's: (w, g, state, t) changes w and the state
    extents  the parameters
    groups   in the order of the nodes: each is to be called before the next one's gradients are written; the last one
             may be of parameters `together`, which have memory of their own, since several steps write there
    single   (node, name) -> the call that moves a large one by its gradient
    """

    def __init__(
        self,
        update: Update,
        store: ParameterStore,
        state: State,
        count: Tensor,
        nodes: Iterable[Key],
        together: Collection[Key] = (),
    ) -> None:
        self.update, self.count, self._flat, self._state = update, count, store.flat, state
        by_node: dict[Key, list[Extent]] = {node: [] for node in nodes}
        for extent in store.extents:
            if extent.node in by_node:
                by_node[extent.node].append(extent)
        self.extents = [extent for extents in by_node.values() for extent in extents]
        self.single: dict[Name, Callable[[Tensor], None]] = {}
        small: list[Extent] = []
        for extent in self.extents:
            if extent.shape.numel() >= LARGE and extent.node not in together:
                w, held = self.part(slice(extent.start, extent.stop))
                self.single[extent.node, extent.name] = partial(self._move, w, held)
            elif extent.node not in together:
                small.append(extent)
        packs = _packs(small)
        memory = store.flat.new_zeros(max(map(_room, packs), default=0))
        self.groups = [Group(self, pack, memory) for pack in packs]
        shared = [extent for extent in self.extents if extent.node in together]
        if shared:
            self.groups.append(Group(self, shared, store.flat.new_zeros(_room(shared))))

    def part(self, part: slice) -> tuple[Tensor, State]:
        """A part of the parameters' vector, and of the optimizer's."""
        return self._flat[part], tuple(vector[part] for vector in self._state)

    def _move(self, w: Tensor, state: State, gradient: Tensor) -> None:
        self.update(w, gradient.reshape(-1).to(w.dtype).contiguous(), state, self.count)

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Move all parameters by gradients in the order of `extents`; torch would stretch some of a wrong shape."""
        given: dict[Name, Tensor] = {}
        for extent, gradient in zip(self.extents, gradients, strict=True):
            if gradient.shape != extent.shape:
                raise OperatorError(
                    f"{extent.node}: the gradient of the parameter {extent.name!r} has the shape "
                    f"{tuple(gradient.shape)}, and the parameter {tuple(extent.shape)}. Its backward is wrong: see "
                    "graphdl.check_gradients."
                )
            given[extent.node, extent.name] = gradient
        for name, move in self.single.items():
            move(given[name])
        for group in self.groups:
            torch._foreach_copy_(list(group.gradients.values()), [given[name] for name in group.gradients])
            group()


def _packs(extents: Iterable[Extent]) -> list[list[Extent]]:
    """The extents in groups of at most LARGE elements, none of whose nodes is in two."""
    packs: list[list[Extent]] = []
    gathered = 0
    for extent in extents:
        size = padded(extent.shape.numel())
        if not packs or (gathered + size > LARGE and extent.node != packs[-1][-1].node):
            packs.append([])
            gathered = 0
        packs[-1].append(extent)
        gathered += size
    return packs


def _room(extents: Iterable[Extent]) -> int:
    return sum(padded(extent.shape.numel()) for extent in extents)
