"""An optimizer's rule bound to parameters: what moves them in a step."""

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
"""Elements from which a parameter moves by a call of its own, and that a group of smaller ones has at most. A call more
costs 3 µs; the gradients of a group need memory all at once."""


class Counter(Protocol):
    """What counts updates and knows their numbers: a Stepper."""

    def advance(self, count: int) -> None:
        """Count updates."""
        ...

    def count_step(self) -> None:
        """Count an update that is about to be made."""
        ...

    def numbers(self, count: int) -> Tensor:
        """The numbers of the next updates, a row for each."""
        ...


class Group:
    """The call that moves parameters all at once, by gradients that were written side by side before.

    nodes      those whose parameters they are
    gradients  (node, name) -> where the gradient is to be written
    memory     the vector in which all of them lie
    pieces      what moves, by settings
    """

    def __init__(self, memory: Memory, extents: Sequence[Extent], gradients: Tensor, gathering: Gathering) -> None:
        self.nodes = frozenset(extent.node for extent in extents)
        self.memory = gradients[: _room(extents)]
        self.vector = GradientVector(gathering, self.memory) if gathering else None
        self.gradients: dict[Name, Tensor] = {}
        pieces: dict[int, Piece] = {}
        start = 0
        for run in neighbours(extents):
            first, length = run[0].start, run[-1].stop - run[0].start
            g = self.memory[start : start + length]
            self.gradients.update(((extent.node, extent.name), extent.view(g, first)) for extent in run)
            for stretch in memory.stretches(run):
                variant = memory.variant(stretch)
                piece = pieces.setdefault(id(variant), Piece(memory, variant))
                piece.add(stretch, g[stretch[0].start - first : stretch[-1].stop - first])
            start += padded(length)
        self.pieces = list(pieces.values())

    def __call__(self) -> None:
        """Move the parameters, unless gradients of more batches are to be gathered first."""
        if self.vector is None or self.vector.take():
            for piece in self.pieces:
                piece()


class Moves:
    """The calls that move some parameters.

    Small ones move in groups, which share one piece of memory for their gradients; each large one moves by its own
    gradient, wherever that lies. So a gradient can be used as soon as it is known, and be gone.

    extents  the parameters
    groups   in the order of the nodes: each is to be called before the next one's gradients are written; the last one
             may be of parameters `together`, which have memory of their own, since several steps write there
    single   (node, name) -> the call that moves a large one by its gradient

    With a gathering, which clips or accumulates, there is one group, of all parameters. However steps are made, one is

        moves.start()         before a batch: counts an update, if this batch brings one
        groups and singles    are called when their gradients are written
        moves.finish()        after the last batch: makes the update of the batches that are left, if any

    A step that is compiled has `formula` for its update, by rows of `numbers`; `advance` counts the batches then.
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
        self._before: Tensor | None = None
        by_node: dict[Key, list[Extent]] = {node: [] for node in nodes}
        for extent in memory.store.extents:
            if extent.node in by_node:
                by_node[extent.node].append(extent)
        self.extents = [extent for extents in by_node.values() for extent in extents]
        together = by_node if gathering else together
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
        """How many batches were gathered since the last update."""
        return 0 if self._vector is None else self._vector.pending

    @property
    def changed(self) -> list[Tensor]:
        """The tensors that steps change: the parameters' vector, what the optimizer keeps, and gathered gradients."""
        total = None if self._vector is None else self._vector.total
        return [self._memory.store.flat, *self._memory.state, *([] if total is None else [total])]

    def start(self) -> None:
        """Count an update if the next batch brings one."""
        if self._vector is None or self._vector.due:
            self._counter.count_step()

    def finish(self) -> None:
        """Make the update of the batches gathered since the last one, if there are any."""
        if self._vector is not None and self._vector.pending:
            self._counter.count_step()
            self._vector.finish()
            for piece in self.groups[0].pieces:
                piece()

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Move all parameters by gradients in the order of `extents`."""
        self._move(self._checked(gradients))

    def step(self, gradients: Sequence[Tensor]) -> None:
        """The same, counted."""
        given = self._checked(gradients)
        self.start()
        self._move(given)

    def _checked(self, gradients: Sequence[Tensor]) -> dict[Name, Tensor]:
        """The gradients by name; torch would stretch some of a wrong shape."""
        given: dict[Name, Tensor] = {}
        for extent, gradient in zip(self.extents, gradients, strict=True):
            if gradient.shape != extent.shape:
                raise OperatorError(
                    f"{extent.node}: the gradient of the parameter {extent.name!r} has the shape "
                    f"{tuple(gradient.shape)}, and the parameter {tuple(extent.shape)}. Its backward is wrong: see "
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
        """The numbers of the steps on the next batches, a row (n,) in double precision for each.

        finish  the last one brings an update in any case, as `finish` makes it
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
        """Before the first update, if its learning rate is not 0: keep the parameters, to see whether they change."""
        if self._memory.first.open:
            rates = rows[:, sorted({piece.variant.column for group in self.groups for piece in group.pieces})]
            self._before = self._memory.store.flat.clone() if bool(rates.any()) else None

    def advance(self, count: int, finish: bool = False) -> None:
        """Count the batches, and the updates, of steps that were made elsewhere by the numbers given last."""
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
        """Make the update by the formula, once the gradients are written: tensor functions only, to be recorded.

        Its numbers are a row of `numbers`. It works in place, and gives what `start` and the group's call give.
        """
        if self.single:
            raise SettingError("the formula moves groups: have moves(nodes, together=nodes)")
        width, due = self._memory.width, None
        if self._vector is not None:
            due = self._vector.formula(row[width:])
        for group in self.groups:
            for piece in group.pieces:
                piece.formula(row, row[width - 1], due)


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
