"""Takes the calls of a tape apart into loop nests and a few other statements on memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch

from graphdl.cpp.loops import Statement, Store, expanded, make_nest, reads_elsewhere
from graphdl.cpp.values import Value, cast, ctype, number, read
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot, Tape, exchange

Address: TypeAlias = Callable[[Slot], str]
"""The C++ text of a pointer to the first element of a slot."""


@dataclass
class Raw(Statement):
    """Text other than a loop nest, from the addresses of slots."""

    text: Callable[[Address], str]
    reads: Sequence[Slot] = ()
    writes: Sequence[Slot] = ()
    effective: bool = False


def packed(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of elements that lie in their order without gaps."""
    strides, size = [], 1
    for n in reversed(shape):
        strides.append(size)
        size *= max(n, 1)
    return tuple(reversed(strides))


class Writer:
    """Collects the statements of a tape.

    statements  in order
    storages    the bytes of each storage: those of the tape, then those that only the text has
    scratch     bytes that small products need
    """

    def __init__(self, tape: Tape, constants: Mapping[int, float]) -> None:
        self.statements: list[Statement] = []
        self.storages = list(tape.storages)
        self.given = set(tape.given)
        self.constants = dict(constants)
        self.scratch = 0
        self.renamed: dict[int, int] = {}
        self.checks = True

    # Memory

    def slot(self, slot: Slot) -> Slot:
        """The slot that stands for one of the tape."""
        storage = self.renamed.get(slot.storage)
        return slot if storage is None else replace(slot, storage=storage)

    def memory(self, size: int) -> int:
        """A storage that only the text has."""
        self.storages.append(size)
        return len(self.storages) - 1

    def new(self, shape: Sequence[int], dtype: torch.dtype) -> Slot:
        """A tensor that only the text has."""
        slot = Slot(0, 0, tuple(shape), packed(shape), dtype)
        return replace(slot, storage=self.memory(slot.size * dtype.itemsize))

    def read(self, slot: Slot) -> Value:
        """An element of a tensor."""
        if slot.storage in self.constants:
            return number(self.constants[slot.storage], slot.dtype)
        return read(slot)

    # Statements

    def store(self, slot: Slot, value: Value) -> None:
        """Write a value into every element of a tensor."""
        self._add(slot.shape, Store(slot, cast(value, slot.dtype)))

    def take(self, slot: Slot, value: Value, shape: Sequence[int], kind: str = "Sum", divisor: float = 1.0) -> None:
        """Reduce a value of this shape along the axes that have size 1 in the slot, or that it lacks."""
        value = cast(value, slot.dtype)
        wide = slot if 0 in shape else expanded(slot, shape)
        if 0 in shape:
            start = {"Sum": 0.0, "Product": 1.0}.get(kind, float("nan"))
            self.store(slot, number(start / divisor if divisor else float("nan"), slot.dtype))
        elif not any(n > 1 and not s for n, s in zip(shape, wide.stride, strict=True)):
            self.store(slot, value if divisor == 1 else value / divisor)
        else:
            self._add(shape, Store(slot, value, kind, divisor))

    def _add(self, shape: Sequence[int], store: Store) -> None:
        if 0 in shape:
            return
        nest = make_nest(shape, [store])
        (made,) = nest.stores
        if reads_elsewhere(made.value, made):
            copy = self.new(store.slot.shape, store.slot.dtype)
            self.statements.append(make_nest(shape, [replace(store, slot=copy)]))
            nest = make_nest(store.slot.shape, [Store(store.slot, read(copy))])
        self.statements.append(nest)

    def raw(
        self, text: Callable[[Address], str], reads: Iterable[Slot] = (), writes: Iterable[Slot] = (), *,
        effective: bool = False,
    ) -> None:  # fmt: skip
        """Add text."""
        self.statements.append(Raw(text, tuple(reads), tuple(writes), effective))

    def plain(self, slot: Slot) -> Slot:
        """The tensor with its elements in their order without gaps: itself or a copy."""
        if slot.stride == packed(slot.shape) or slot.size <= 1:
            return slot
        copy = self.new(slot.shape, slot.dtype)
        self.store(copy, self.read(slot))
        return copy

    def check(self, index: Slot, size: int, ignored: int | None = None) -> Slot:
        """Stop before a step whose indices lead out of an axis; return what was checked, which nothing else changes."""
        if not self.checks:
            raise CompileError("an index in the update of the parameters has no form in C++ here")
        if index.dtype.is_floating_point or index.dtype == torch.bool:
            raise CompileError(f"indices of the type {index.dtype} have no form in C++ here")
        if index.storage in self.given:
            copy = self.new(index.shape, index.dtype)
            self.store(copy, self.read(index))
            index = copy
        index = self.plain(index)
        rest = f"{index.size}, {size}, {str(ignored is not None).lower()}, {ignored or 0}"
        self.raw(lambda at: f"if (outside({at(index)}, {rest})) return true;", [index], effective=True)
        return index


def arguments(call: Call, writer: Writer) -> dict[str, Any]:
    """The arguments of a call by name."""
    schema = call.function._schema.arguments
    held = {argument.name: argument.default_value for argument in schema}
    held |= dict(zip((argument.name for argument in schema), call.args, strict=False)) | dict(call.kwargs)
    found: dict[str, Any] = exchange(held, Slot, writer.slot)
    return found


def common_type(slots: Sequence[Slot], numbers: Sequence[object]) -> torch.dtype:
    """The type in which torch computes with tensors and numbers."""
    kinds: list[torch.dtype | None] = [None, None, None]
    for slot in slots:
        rank = 0 if slot.shape else 1
        kinds[rank] = slot.dtype if kinds[rank] is None else torch.promote_types(kinds[rank] or slot.dtype, slot.dtype)
    for each in numbers:
        own = torch.bool if isinstance(each, bool) else torch.int64 if isinstance(each, int) else torch.float32
        kinds[2] = own if kinds[2] is None else torch.promote_types(kinds[2], own)
    found: torch.dtype | None = None
    for kind in kinds:
        found = _combined(found, kind)
    assert found is not None
    ctype(found)
    return found


def _combined(high: torch.dtype | None, low: torch.dtype | None) -> torch.dtype | None:
    if high is None or low is None:
        return high or low
    if not high.is_floating_point and (high == torch.bool or low.is_floating_point):
        return torch.promote_types(high, low)
    return high
