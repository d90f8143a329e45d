"""The calls that update parameters in a step: an optimizer's formula bound to their tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from graphdl.errors import OperatorError, SettingError
from graphdl.graph import Key
from graphdl.optim.gradients import Gathering, GradientVector
from graphdl.optim.pieces import Memory, Piece
from graphdl.parameters import Extent, Name, neighbours, padded

LARGE = 2**14
"""A parameter of at least so many elements is updated by a separate call; smaller ones are updated in groups of at most
so many. A call costs 3 µs, and the gradients of a group need memory at the same time."""


class Counter(Protocol):
    """Counts updates and computes their numbers: a Stepper."""

    @property
    def steps(self) -> int:
        """The number of updates made."""
        ...

    def advance(self, count: int) -> None:
        """Count updates."""
        ...

    def count_step(self) -> None:
        """Count an update that is about to be made."""
        ...

    def numbers(self, count: int) -> Tensor:
        """The numbers of the next updates, one row each."""
        ...


class Group:
    """A call that updates a group of parameters, whose gradients were written into one vector before.

    nodes      the nodes that own the parameters
    gradients  (node, name) -> the tensor into which the gradient is written
    memory     the vector of all these gradients
    pieces     the calls, one for each variant of the settings
    """

    def __init__(self, memory: Memory, extents: Sequence[Extent], gradients: Tensor, gathering: Gathering) -> None:
        self.nodes = frozenset(extent.node for extent in extents)
        self.memory = gradients[: _room(extents)]
        self.gradients: dict[Name, Tensor] = {}
        pieces: dict[int, Piece] = {}
        start = 0
        for run in neighbours(extents):
            first, length = run[0].start, run[-1].stop - run[0].start
            g = self.memory[start : start + length]
            self.gradients.update(((extent.node, extent.name), extent.view(g, first)) for extent in run)
            for stretch in memory.stretches(run):
                variant = memory.variant(stretch)
                piece = pieces.setdefault(id(variant), memory.piece(variant))
                piece.add(stretch, g[stretch[0].start - first : stretch[-1].stop - first])
            start += padded(length)
        self.pieces = list(pieces.values())
        places = [(each, each.view(memory.store.flat), self.gradients[each.node, each.name]) for each in extents]
        self.vector = GradientVector(gathering, self.memory, places) if gathering else None

    def __call__(self) -> None:
        """Update the parameters, unless the gradients of more batches have to be accumulated first."""
        if self.vector is None or self.vector.take():
            for piece in self.pieces:
                piece()


class Moves:
    """The calls that update some parameters.

    Small parameters are updated in groups, which share one piece of memory for their gradients. Each large parameter is
    updated by its own gradient, wherever that is stored. So a gradient can be freed as soon as it has been used.

    extents  the parameters
    groups   in the order of the nodes; each must be called before the next one's gradients are written. The last one
             may hold the parameters of `together`, with separate memory, because several nodes write there
    single   (node, name) -> the call that updates a large parameter by its gradient

    With clipping, accumulation, penalties or a joint optimizer, there is one group, of all parameters. A step consists
    of

        moves.start()         before a batch: counts an update, if this batch completes one
        groups and singles    called when their gradients are written
        moves.finish()        after the last batch: makes the update of the remaining batches, if any

    A compiled step makes its update by `formula`, with rows of `numbers`; `advance` then counts the batches.
    """

    def __init__(
        self,
        counter: Counter,
        memory: Memory,
        nodes: Iterable[Key],
        together: Collection[Key] = (),
        gathering: Gathering | None = None,
    ) -> None:
        self._counter, self._memory = counter, memory
        for penalty in gathering.penalties if gathering else ():
            penalty.check(memory.store)
        self._before: Tensor | None = None
        by_node: dict[Key, list[Extent]] = {node: [] for node in nodes}
        for extent in memory.store.extents:
            if extent.node in by_node:
                by_node[extent.node].append(extent)
        self.extents = [extent for extents in by_node.values() for extent in extents]
        together = by_node if gathering or memory.joint else together
        self.single: dict[Name, Callable[[Tensor], None]] = {}
        small: list[Extent] = []
        for extent in self.extents:
            if extent.shape.numel() >= LARGE and extent.node not in together:
                piece = Piece(memory, memory.variant([extent]))
                piece.add([extent])
                self.single[extent.node, extent.name] = piece.by
            elif extent.node not in together:
                small.append(extent)
        self.groups = self._groups(small, [each for each in self.extents if each.node in together], gathering)
        self._vector = self.groups[0].vector if gathering and self.groups else None

    def _groups(self, small: list[Extent], shared: list[Extent], gathering: Gathering | None) -> list[Group]:
        zeros, packs = self._memory.store.flat.new_zeros, _packs(small)
        gradients = zeros(max(map(_room, packs), default=0))
        groups = [Group(self._memory, pack, gradients, Gathering()) for pack in packs]
        if shared:
            groups.append(Group(self._memory, shared, zeros(_room(shared)), gathering or Gathering()))
        return groups

    @property
    def due(self) -> bool:
        """Whether the next batch brings an update."""
        return self._vector is None or self._vector.due

    @property
    def pending(self) -> int:
        """How many batches were accumulated since the last update."""
        return 0 if self._vector is None else self._vector.pending

    @property
    def accumulated(self) -> tuple[int, Tensor | None]:
        """The number of batches accumulated since the last update, and the sum of their gradients."""
        return self.pending, None if self._vector is None or not self.pending else self._vector.total

    def continue_from(self, pending: int, total: Tensor) -> None:
        """Go on after so many accumulated batches."""
        if self._vector is not None and self._vector.total is not None:
            self._vector.pending = pending
            self._vector.total.copy_(total)

    def go_back(self, updates: int, pending: int) -> None:
        """Count as after so many updates and accumulated batches: later ones were undone."""
        self._counter.advance(updates - self._counter.steps)
        if self._vector is not None:
            self._vector.pending = pending

    @property
    def changed(self) -> list[Tensor]:
        """The tensors that steps change: the parameters' vector, the optimizer's state and accumulated gradients."""
        total = None if self._vector is None else self._vector.total
        return [self._memory.store.flat, *self._memory.state, *([] if total is None else [total])]

    def start(self) -> None:
        """Count an update if the next batch completes one."""
        if self._vector is None or self._vector.due:
            self._counter.count_step()

    def finish(self) -> None:
        """Make the update of the batches accumulated since the last one, if there are any."""
        if self._vector is not None and self._vector.pending:
            self._counter.count_step()
            self._vector.finish()
            for piece in self.groups[0].pieces:
                piece()

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Update all parameters by gradients in the order of `extents`, without counting the update."""
        self._move(self._checked(gradients))

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Count an update if this batch completes one, and update all parameters."""
        given = self._checked(gradients)
        self.start()
        self._move(given)

    def _checked(self, gradients: Sequence[Tensor]) -> dict[Name, Tensor]:
        """The gradients by name. Raises OperatorError for a wrong shape, which torch might broadcast."""
        given: dict[Name, Tensor] = {}
        for extent, gradient in zip(self.extents, gradients, strict=True):
            if gradient.shape != extent.shape:
                raise OperatorError(
                    f"{extent.node}: the gradient of the parameter {extent.name!r} has the shape "
                    f"{tuple(gradient.shape)}, and the parameter {tuple(extent.shape)}. Check its backward with "
                    "graphdl.check_gradients."
                )
            given[extent.node, extent.name] = gradient
        return given

    def _move(self, given: dict[Name, Tensor]) -> None:
        for name, move in self.single.items():
            move(given[name])
        for group in self.groups:
            torch._foreach_copy_(list(group.gradients.values()), [given[name] for name in group.gradients])
            group()
        if self._memory.first.open:
            self._memory.first.close()

    def numbers(self, count: int, finish: bool = False) -> Tensor:
        """The numbers of the steps on the next batches, one row in double precision each.

        finish  the last batch makes an update in any case, as the method `finish` does
        """
        if self._vector is None:
            rows = self._counter.numbers(count)
            self._look(rows)
            return rows
        k, pending = self._vector.settings.accumulate, self._vector.pending
        updates = torch.arange(pending, pending + count) // k
        rows = self._counter.numbers(int(updates[-1]) + 1 if count else 0)
        self._look(rows)
        columns = torch.tensor(self._vector.columns(count, finish), dtype=rows.dtype, device=rows.device)
        return torch.cat([rows[updates.to(rows.device)], columns.view(-1, count).T], 1)

    def _look(self, rows: Tensor) -> None:
        """Before the first update, if no learning rate is 0: copy the parameters, to check that they change."""
        if self._memory.first.open:
            rates = rows[:1, sorted({piece.variant.column for group in self.groups for piece in group.pieces})]
            self._before = self._memory.store.flat.clone() if bool(rates.all()) else None

    def advance(self, count: int, finish: bool = False) -> None:
        """Count the batches and the updates of steps that were made by compiled code."""
        updates = count
        if self._vector is not None:
            k, batches = self._vector.settings.accumulate, self._vector.pending + count
            updates = -(-batches // k) if finish else batches // k
            self._vector.pending = 0 if finish else batches % k
        self._counter.advance(updates)
        if self._memory.first.open and updates and self._before is not None:
            group = self.groups[0]
            self._memory.first.compare(
                group.pieces[0].variant.name, self._before, self._memory.store.flat, group.memory
            )
            self._before = None

    def formula(self, row: Tensor) -> None:
        """Make the update by the formula, after the gradients are written, in tensor functions that can be recorded.

        row is a row of `numbers`. It works in place; the result is that of `start` and the calls of the groups.
        """
        if self.single:
            raise SettingError("the formula updates groups only: call moves(nodes, together=nodes)")
        width, due = self._memory.width, None
        if self._vector is not None:
            due = self._vector.formula(row[width:])
        for group in self.groups:
            for piece in group.pieces:
                piece.formula(row, row[width - 1], due)


def _packs(extents: Iterable[Extent]) -> list[list[Extent]]:
    """The extents in groups of at most LARGE elements; the parameters of a node are in one group."""
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
