"""Loop nests: what is stored at every index of a space, and what is summed along its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from graphdl.cpp.values import Value
from graphdl.execution.tape import Slot


class Statement:
    """A part of a step.

    reads, writes  the memory that it reads and writes
    effective      whether it does more than write memory: it is never left out, and nothing moves past it
    """

    reads: Sequence[Slot]
    writes: Sequence[Slot]
    effective: bool = False

    @cached_property
    def touched(self) -> frozenset[int]:
        """The storages that it reads or writes."""
        return frozenset(slot.storage for slot in (*self.reads, *self.writes))


@dataclass(frozen=True)
class Store:
    """An element that is written at every index.

    slot     where; its stride is 0 along the axes that are taken together
    take     how elements are taken together: "" for not at all, or a struct of step.h
    divisor  what the result is divided by then
    kept     whether it goes to memory; else only later stores of the same nest read it
    """

    slot: Slot
    value: Value
    take: str = ""
    divisor: float = 1.0
    kept: bool = True


@dataclass
class Nest(Statement):
    """Loops around stores, which are made in order at every index.

    space   the number of indices of each loop, from the outermost to the innermost
    vector  the loop that goes in whole vectors; those behind it, if any, only take elements together. -1: none
    """

    space: tuple[int, ...]
    vector: int
    stores: list[Store]
    reads: list[Slot] = field(default_factory=list)
    writes: list[Slot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reads = [slot for store in self.stores for slot in store.value.reads]
        self.writes = [store.slot for store in self.stores]

    def summed(self, store: Store) -> int:
        """The first loop along which a store takes elements together."""
        return next(k for k, stride in enumerate(store.slot.stride) if not stride)


def expanded(slot: Slot, shape: Sequence[int]) -> Slot:
    """The slot repeated along axes of size 1 and along leading axes that it lacks."""
    lacking = len(shape) - len(slot.shape)
    stride = [0] * lacking
    for n, s, wanted in zip(slot.shape, slot.stride, shape[lacking:], strict=True):
        stride.append(0 if n == 1 else s)
        assert n in (1, wanted)
    return Slot(slot.storage, slot.offset, tuple(shape), tuple(stride), slot.dtype)


def make_nest(shape: Sequence[int], stores: Iterable[Store]) -> Nest:
    """Loops over a shape, in an order that suits memory, adjacent axes in one loop where possible."""
    wide = [replace(s, slot=expanded(s.slot, shape), value=_expanded(s.value, shape)) for s in stores]
    slots = [store.slot for store in wide]
    slots += [each.slot for store in wide for each in store.value.walk() if each.slot is not None]
    apart = {len(shape) + int(e.number) for s in wide for e in s.value.walk() if e.operation == "position"}
    groups = _groups(_ordered(shape, wide), shape, slots, apart)
    groups, vector = _with_vectors(groups, shape, wide)
    space = tuple(math.prod(shape[axis] for axis in group) for group in groups)

    def regrouped(slot: Slot) -> Slot:
        return replace(slot, shape=space, stride=tuple(slot.stride[group[-1]] for group in groups))

    def leaf(value: Value) -> Value:
        if value.slot is not None:
            return replace(value, slot=regrouped(value.slot))
        axis = [len(shape) + int(value.number)]
        if axis not in groups:
            return Value("number", value.dtype, number=0)
        return replace(value, number=groups.index(axis))

    made = [replace(store, slot=regrouped(store.slot), value=store.value.exchanged(leaf)) for store in wide]
    return Nest(space, vector, made)


def _expanded(value: Value, shape: Sequence[int]) -> Value:
    return value.exchanged(lambda v: v if v.slot is None else replace(v, slot=expanded(v.slot, shape)))


def _ordered(shape: Sequence[int], stores: Sequence[Store]) -> list[int]:
    """The axes, those with the longest strides first, and those taken together last."""
    out, reads = stores[0].slot, [v.slot for s in stores for v in s.value.walk() if v.slot is not None]
    main = max(reads, key=lambda slot: sum(map(bool, slot.stride)), default=out)
    axes = [axis for axis, n in enumerate(shape) if n > 1]
    kept = sorted((a for a in axes if out.stride[a]), key=lambda a: -out.stride[a])
    return kept + sorted((a for a in axes if not out.stride[a]), key=lambda a: -main.stride[a])


def _groups(order: Sequence[int], shape: Sequence[int], slots: Sequence[Slot], apart: set[int]) -> list[list[int]]:
    """Axes that one loop can go along: everything moves along them as along one."""
    groups: list[list[int]] = []
    for axis in order:
        before = groups[-1][-1] if groups else None
        if before is None or {axis, before} & apart:
            groups.append([axis])
        elif all(slot.stride[before] == shape[axis] * slot.stride[axis] for slot in slots):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def _with_vectors(
    groups: list[list[int]], shape: Sequence[int], stores: Sequence[Store]
) -> tuple[list[list[int]], int]:
    """The loops, and which of them goes in vectors: in sums, the one along which most of what is read is adjacent."""
    if not groups or not any(store.take for store in stores):
        return groups, len(groups) - 1
    reads = [v.slot for s in stores for v in s.value.walk() if v.slot is not None]
    out = stores[0].slot

    def merit(group: list[int]) -> tuple[int, int]:
        together = [slot for slot in reads if slot.stride[group[-1]] == 1]
        return max((_elements(slot) for slot in together), default=0), math.prod(shape[axis] for axis in group)

    best = max(groups, key=merit)
    kept = [group for group in groups if group is not best and out.stride[group[-1]]]
    taken = [group for group in groups if group is not best and not out.stride[group[-1]]]
    if out.stride[best[-1]]:
        return [*kept, best, *taken], len(kept)
    return [*kept, *taken, best], len(groups) - 1


def _elements(slot: Slot) -> int:
    """How many different elements a slot with repetitions has."""
    return math.prod(n for n, stride in zip(slot.shape, slot.stride, strict=True) if stride)


def overlap(a: Slot, b: Slot) -> bool:
    """Whether two slots may share memory."""
    if a.storage != b.storage:
        return False
    first, second = a.dtype.itemsize, b.dtype.itemsize
    return a.offset * first < (b.offset + b.extent) * second and b.offset * second < (a.offset + a.extent) * first


def reads_elsewhere(value: Value, store: Store) -> bool:
    """Whether a value reads of what a store writes more than the element that it has written at the same index."""
    near = [slot for slot in value.reads if overlap(slot, store.slot)]
    if not near:
        return False
    if store.take or any(overlap(slot, store.slot) for slot in value.looks_up):
        return True
    return not all(same_place(slot, store.slot) for slot in near)


def same_place(a: Slot, b: Slot) -> bool:
    """Whether the element at every index of a space is the same."""
    return (a.storage, a.offset, a.stride, a.dtype) == (b.storage, b.offset, b.stride, b.dtype)
