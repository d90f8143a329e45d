"""Nests of one space become one where no statement between them, and none of theirs, would read other numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from graphdl.cpp.loops import Nest, Statement, Store, overlap, reads_elsewhere, same_place
from graphdl.execution.tape import Slot

WINDOW = 40
"""How many statements a nest may move forward over."""
LARGEST = 48
"""Stores in a nest: more would not stay in registers."""


def conflict(first: Statement, second: Statement) -> bool:
    """Whether the order of two statements matters."""
    if first.effective:
        return True
    return not first.touched.isdisjoint(second.touched) and (
        _any_overlap(first.writes, second.reads)
        or _any_overlap(first.reads, second.writes)
        or _any_overlap(first.writes, second.writes)
    )


def _any_overlap(first: Sequence[Slot], second: Sequence[Slot]) -> bool:
    return any(overlap(a, b) for a in first for b in second)


def fused(statements: Sequence[Statement]) -> list[Statement]:
    """The statements, each nest in one before where that is possible; and again, for what then fits together."""
    done = list(statements)
    while True:
        given, done = done, []
        for statement in given:
            if not (isinstance(statement, Nest) and _taken(done, statement)):
                done.append(statement)
        if len(done) == len(given):
            return done


def _taken(done: list[Statement], nest: Nest) -> bool:
    """Put a nest into an earlier one, which it moves forward to or which moves back to it."""
    forward, between = True, list[Statement]()
    for position in range(len(done) - 1, max(-1, len(done) - 1 - WINDOW), -1):
        earlier = done[position]
        if isinstance(earlier, Nest) and _fits(earlier, nest):
            both = Nest(earlier.space, earlier.vector, [*earlier.stores, *nest.stores])
            if forward:
                done[position] = both
                return True
            if not any(conflict(earlier, each) for each in reversed(between)):
                del done[position]
                done.append(both)
                return True
        if earlier.effective:
            return False
        forward = forward and not conflict(earlier, nest)
        between.append(earlier)
    return False


def _fits(earlier: Nest, nest: Nest) -> bool:
    """Whether the stores can be made one after the other at every index."""
    if (earlier.space, earlier.vector) != (nest.space, nest.vector):
        return False
    if len(earlier.stores) + len(nest.stores) > LARGEST:
        return False
    if nest.space and earlier.touched.isdisjoint(nest.touched):
        return False
    return all(_in_step(a, b) for a in earlier.stores for b in nest.stores)


def _in_step(a: Store, b: Store) -> bool:
    """Whether store b, made right after a at every index, has the effect that it has after all of a."""
    if reads_elsewhere(b.value, a) or reads_elsewhere(a.value, b):
        return False
    return not overlap(a.slot, b.slot) or (not a.take and not b.take and same_place(a.slot, b.slot))


def pruned(statements: Sequence[Statement], given: set[int]) -> list[Statement]:
    """The statements without those that write what is read neither later nor by the caller, in given storages."""
    alive: dict[int, list[Slot]] = {}

    def note(slots: Sequence[Slot]) -> None:
        for slot in slots:
            alive.setdefault(slot.storage, []).append(slot)

    def needed(slot: Slot) -> bool:
        return slot.storage in given or any(overlap(slot, other) for other in alive.get(slot.storage, ()))

    kept: list[Statement] = []
    for statement in reversed(statements):
        if isinstance(statement, Nest):
            stores = _needed_stores(statement, needed)
            if not stores:
                continue
            statement = Nest(statement.space, statement.vector, stores)
            note(_from_memory(statement))
        else:
            if statement.writes and not any(map(needed, statement.writes)):
                continue
            note(statement.reads)
        kept.append(statement)
    return kept[::-1]


def _needed_stores(nest: Nest, needed: Callable[[Slot], bool]) -> list[Store]:
    stores: list[Store] = []
    local: list[Slot] = []
    for store in reversed(nest.stores):
        again = any(same_place(store.slot, later.slot) and not later.take and later.kept for later in stores)
        to_memory = needed(store.slot) and not again
        if to_memory or any(same_place(store.slot, slot) for slot in local):
            stores.append(replace(store, kept=to_memory))
            local += store.value.reads
    return stores[::-1]


def _from_memory(nest: Nest) -> list[Slot]:
    """What a nest reads before it has stored it itself."""
    found: list[Slot] = []
    stored: list[Slot] = []
    for store in nest.stores:
        found += [s for s in store.value.reads if not any(same_place(s, other) for other in stored)]
        if not store.take:
            stored.append(store.slot)
    return found
