"""The whole text: a function that makes many steps a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files

import torch

from graphdl.cpp.activations import GATES
from graphdl.cpp.build import processor
from graphdl.cpp.fusion import fused, pruned
from graphdl.cpp.kernels import KERNELS
from graphdl.cpp.loops import Nest, Statement, overlap
from graphdl.cpp.moves import FILLS, MOVES, fill_value
from graphdl.cpp.normalization import NORMALIZATION
from graphdl.cpp.pointwise import POINTWISE, plain_name, pointwise
from graphdl.cpp.products import PRODUCTS
from graphdl.cpp.rolled import rolled
from graphdl.cpp.text import NestText
from graphdl.cpp.values import ctype
from graphdl.cpp.writer import Address, Raw, Writer
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot, Tape

FORMS: dict[str, Callable[[Writer, Call], None]] = KERNELS | NORMALIZATION | PRODUCTS | MOVES | GATES
ALIGNMENT = 64


@dataclass(frozen=True)
class Roles:
    """What the storages of a step are for.

    moving     given storages of which each step has its own, side by side
    chosen     those of them that hold the rows of a batch: the rows of a step can be chosen from a data set instead
    rows       the rows of a batch
    working    given storages that calls before `guard` write and that stay unchanged if the step is refused
    guard      the position of the first call of the update
    finite     the number that must be finite before it
    results    what each step hands out
    """

    moving: tuple[int, ...]
    working: tuple[int, ...]
    guard: int
    finite: Slot
    results: tuple[Slot, ...]
    chosen: tuple[int, ...] = ()
    rows: int = 0


def vector_bytes() -> int:
    """The bytes of the processor's vectors."""
    features = set(processor().split())
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= features:
        return 64
    return 32 if {"avx2", "fma"} <= features else 16


def form_of(call: Call) -> Callable[[Writer, Call], None] | None:
    """How a call is written, if it can be."""
    plain, lists = plain_name(call)
    if call.name in FORMS:
        return FORMS[call.name]
    if plain in POINTWISE:
        return pointwise
    return None if lists else FORMS.get(plain)


def constants_of(tape: Tape) -> dict[int, float]:
    """The storages that a call fills with one number, and that no other call changes."""
    written: dict[int, int] = {}
    for call in tape.calls:
        for slot in call.written():
            written[slot.storage] = written.get(slot.storage, 0) + 1
    found: dict[int, float] = {}
    for call in tape.calls:
        if call.name in FILLS and len(call.made) == 1 and call.made[0] not in written:
            with suppress(CompileError):
                found[call.made[0]] = fill_value(call, FILLS[call.name])
    return found


def written_step(tape: Tape, roles: Roles, calling: bool) -> str:
    """The text of a step.

    calling  whether calls without a form in C++ are left to torch; else they raise CompileError
    """
    return StepText(tape, roles, calling).text()


class StepText:
    """Writes the text of a step."""

    def __init__(self, tape: Tape, roles: Roles, calling: bool) -> None:
        self.tape, self.roles, self._calling = tape, roles, calling
        self.writer = writer = Writer(tape, constants_of(tape))
        self.order = sorted(tape.given)
        self._calls_torch = False
        self._working: list[tuple[Slot, Slot]] = []
        self._copy_in()
        self._write(range(roles.guard))
        before, writer.statements = writer.statements, []
        late = {storage for call in tape.calls[roles.guard :] for storage in call.made}
        self._early = [k for k, slot in enumerate(roles.results) if slot.storage not in late]
        self._guard(before)
        for storage in roles.working:
            writer.renamed.pop(storage, None)
        writer.checks = False
        middle, writer.statements = writer.statements, []
        self._write(range(roles.guard, len(tape.calls)))
        self._results(k for k in range(len(roles.results)) if k not in self._early)
        self.parts = self._finished(before, middle, writer.statements)
        self._places: dict[int, int] = {}
        self.workspace = 0

    # Statements

    def _write(self, positions: Iterable[int]) -> None:
        for position in positions:
            call, before = self.tape.calls[position], len(self.writer.statements)
            try:
                form = form_of(call)
                if form is None:
                    raise CompileError(f"{call.function} has no form in C++ here")
                form(self.writer, call)
            except Exception as error:  # even where a form meets arguments that it does not know
                if not self._calling:
                    raise CompileError(f"{call.origin}: {error}".removeprefix(": ")) from error
                del self.writer.statements[before:]
                self._leave(position, call)

    def _leave(self, position: int, call: Call) -> None:
        """Leave a call to torch, on tensors in the memory of the text."""
        if not call.name or call.draws:
            reason = f"{call.name or call.function} draws random numbers elsewhere than in Operator.draw"
            raise CompileError(f"{call.origin}: {reason}".removeprefix(": "))
        self._calls_torch = True
        slots = call.slots()
        for storage in {slot.storage for slot in slots} & set(self.roles.moving) - self.writer.renamed.keys():
            self._copy(Slot(storage, 0, (self.tape.storages[storage],), (1,), torch.uint8), self._memory_of(storage))
        slots = [self.writer.slot(slot) for slot in slots]
        written = [self.writer.slot(slot) for slot in call.written()]
        written += [slot for slot in slots if slot.storage in call.made]

        def text(at: Address) -> str:
            line = f"void* a[] = {{{', '.join([*map(at, slots), '0'])}}}; call(MOVING({position}), a);"
            return f"{{ {line} if (!a[{len(slots)}]) return false; }}"

        self.writer.raw(text, [slot for slot in slots if slot.storage not in call.made], written)

    def _copy_in(self) -> None:
        """Work on copies of what must not change meanwhile, and of what changes only if the step is made."""
        moving = set(self.roles.moving)
        touched: dict[int, list[Slot]] = {}
        whole: dict[int, torch.dtype] = {}
        for position, call in enumerate(self.tape.calls):
            for slot in call.slots():
                integer = not slot.dtype.is_floating_point and slot.dtype != torch.bool
                if slot.storage in moving and integer:
                    whole[slot.storage] = slot.dtype
                elif slot.storage in self.roles.working and position < self.roles.guard:
                    touched.setdefault(slot.storage, []).append(slot)
        for storage, dtype in whole.items():
            size = self.tape.storages[storage]
            self._copy(Slot(storage, 0, (size // dtype.itemsize,), (1,), dtype), self._memory_of(storage))
        for storage, slots in touched.items():
            copy = self._memory_of(storage)
            for part in merged(slots):
                self._working.append((part, self._copy(part, copy)))

    def _memory_of(self, storage: int) -> int:
        """Memory of the text as large as a storage."""
        return self.writer.memory(self.tape.storages[storage])

    def _copy(self, part: Slot, storage: int) -> Slot:
        copy = replace(part, storage=storage)
        self._move(part, copy)
        self.writer.renamed[part.storage] = storage
        return copy

    def _move(self, source: Slot, target: Slot) -> None:
        size = source.extent * source.dtype.itemsize
        self.writer.raw(lambda at: f"__builtin_memcpy({at(target)}, {at(source)}, {size});", [source], [target])

    def _guard(self, before: Sequence[Statement]) -> None:
        """What stands between the losses and the update."""
        writer, finite = self.writer, self.writer.slot(self.roles.finite)
        writer.raw(lambda at: f"if (!__builtin_isfinite(*{at(finite)})) return true;", [finite], effective=True)
        for part, copy in self._working:
            if any(overlap(copy, slot) for statement in before[len(self._working) :] for slot in statement.writes):
                self._move(copy, part)
        self._results(self._early)

    def _results(self, positions: Iterable[int]) -> None:
        for k in positions:
            slot = self.writer.plain(self.writer.slot(self.roles.results[k]))
            size = slot.size * slot.dtype.itemsize

            def text(at: Callable[[Slot], str], slot: Slot = slot, size: int = size, k: int = k) -> str:
                return f"__builtin_memcpy(r{k} + step * {size}, {at(slot)}, {size});"

            self.writer.raw(text, [slot], effective=True)

    def _finished(self, *parts: Sequence[Statement]) -> list[list[Statement]]:
        """The statements fused within each part, without those whose results are never read."""
        lists = [fused(part) for part in parts]
        border: list[Statement] = [Raw(lambda at: "", effective=True)]
        marks = [statement for part in lists for statement in (*part, *border)]
        kept = pruned(marks, self.writer.given)
        found: list[list[Statement]] = [[]]
        for statement in kept:
            if statement is border[0]:
                found.append([])
            else:
                found[-1].append(statement)
        return found[:-1]

    # Text

    def address(self, slot: Slot) -> str:
        """A pointer to the first element of a slot."""
        bytes_ = slot.offset * slot.dtype.itemsize
        if slot.storage in self.writer.given:
            place = f"g{self.order.index(slot.storage)}"
        else:
            if slot.storage not in self._places:
                self._places[slot.storage] = self.workspace
                self.workspace += -(-(self.writer.storages[slot.storage] + 1) // ALIGNMENT) * ALIGNMENT
            place, bytes_ = "w", bytes_ + self._places[slot.storage]
        return f"(({ctype(slot.dtype)}*)({place} + MOVING({bytes_})))"

    def text(self) -> str:
        """The library."""
        functions: dict[str, str] = {}
        before, guard, update = (rolled([self._line(each, functions) for each in part]) for part in self.parts)
        moving = [line for storage in self.roles.moving for line in self._moving(storage)]
        scratch = self.workspace
        return "\n".join(
            [
                *(files("graphdl.cpp").joinpath(header).read_text() for header in ("step.h", "products.h")),
                *(f"static __attribute__((noinline)) void {name}{body}" for body, name in functions.items()),
                f'extern "C" int64_t workspace() {{ return {scratch + self.writer.scratch + ALIGNMENT}; }}',
                f'extern "C" bool calls_torch() {{ return {str(self._calls_torch).lower()}; }}',
                "static bool made_steps(Work& work) {",
                *self._pointers(scratch),
                "for (int64_t step = 0; step < work.count; step++) {",
                *moving, *before, *guard,
                "{", "Flushing flushing;", *update, "}",
                "work.made = step + 1;", "}", "return true;", "}",
                'extern "C" void make_steps(Work** works, int64_t count) {',
                "for (int64_t k = 0; k < count; k++) works[k]->whole = made_steps(*works[k]);", "}", "",
            ]
        )  # fmt: skip

    def _pointers(self, scratch: int) -> list[str]:
        lines = [f"char* g{k} = (char*)work.given[{k}]; (void)g{k};" for k in range(len(self.order))]
        lines += [f"char* const r{k} = (char*)work.results[{k}];" for k in range(len(self.roles.results))]
        lines += ["char* const w = work.workspace; (void)w;", "call_t* const call = work.call; (void)call;"]
        return [*lines, f"char* const scratch = w + {scratch}; (void)scratch;"]

    def _moving(self, storage: int) -> Iterator[str]:
        """The addresses of what differs from step to step."""
        if storage not in self.writer.given:
            return
        k, size, rows = self.order.index(storage), self.tape.storages[storage], self.roles.rows
        place = f"(char*)work.given[{k}]"
        if storage in self.roles.chosen:
            room = self.address(Slot(self._memory_of(storage), 0, (size,), (1,), torch.uint8))
            chosen = f"choose<{rows}, {size // rows}>({place}, work.rows + step * {rows}, (char*){room})"
            yield f"g{k} = work.rows ? {chosen} : {place} + step * {size};"
        else:
            yield f"g{k} = {place} + step * {size};"

    def _line(self, statement: Statement, functions: dict[str, str]) -> str:
        """A statement; the function of a nest is written once for all nests that differ only in where they work."""
        if isinstance(statement, Raw):
            return statement.text(self.address)
        assert isinstance(statement, Nest)
        written = NestText(statement, vector_bytes())
        name = functions.setdefault(written.text, f"loops{len(functions)}")
        return f"{name}({', '.join(self.address(slot) for slot in written.pointers)});"


def merged(slots: Sequence[Slot]) -> list[Slot]:
    """The stretches of memory that slots of one storage cover."""
    if len({slot.dtype for slot in slots}) > 1:
        whole = max(slots, key=lambda slot: slot.dtype.itemsize)
        size = max((slot.offset + slot.extent) * slot.dtype.itemsize for slot in slots)
        return [Slot(whole.storage, 0, (size,), (1,), torch.uint8)]
    found: list[list[int]] = []
    for first, last in sorted((slot.offset, slot.offset + slot.extent) for slot in slots if slot.size):
        if found and first <= found[-1][1]:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return [Slot(slots[0].storage, first, (last - first,), (1,), slots[0].dtype) for first, last in found]
