"""Replays a tape on memory that stays: no Python but the calls themselves, and nothing is allocated."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.execution.arena import ALIGNMENT, Plot, lay_out
from graphdl.execution.tape import Call, Slot, Tape, exchange

Bound: TypeAlias = Callable[[], Any]

MOST_BYTES = 2**25
"""How much memory the tensors of a replayed step may take. Above it the calls cost little beside their work."""

SAVED_BY_A_CALL = 1.5
"""Microseconds that a replayed call saves: what lies between two calls in Python, and the allocation of its result."""

COST_OF_A_COPY = 1.5
"""Microseconds by which a call is slower that cannot write into given memory, beside those of copying its result."""

COPIED_BYTES = 8_000
"""Bytes copied in a microsecond."""


MOST_CALLS = 16
"""The calls that an operator makes in a step, in both passes and its update, are seldom more."""


def replay_bytes(tape: Tape, kept: Collection[Slot], copied: int) -> int | None:
    """The bytes that a replay of a tape needs; None where it gains nothing.

    kept    the slots that are read after the last call
    copied  the bytes of the inputs, which are copied into their places at every step
    """
    calls = [call for call in tape.calls if call.name]
    copies = [call for call in calls if call.made and not is_empty(call) and not writes(call)]
    if not _outweigh(len(calls), tape, copies, copied):
        return None
    _, total = place(tape, kept)
    return total if total <= MOST_BYTES else None


def compiling_gains(tape: Tape, has_form: Callable[[Call], object]) -> bool:
    """Whether the calls that compiling saves outweigh the copies of what torch makes between the compiled parts."""
    calls = [call for call in tape.calls if call.name]
    copies = [call for call in calls if not has_form(call) and call.made and not writes(call)]
    return _outweigh(len(calls) - len(copies), tape, copies)


def _outweigh(saved: int, tape: Tape, copies: Sequence[Call], copied: int = 0) -> bool:
    """Whether so many calls saved outweigh the copies of what some calls make, and of so many bytes more."""
    copied += sum(tape.storages[storage] for call in copies for storage in call.made)
    return saved * SAVED_BY_A_CALL >= len(copies) * COST_OF_A_COPY + copied / COPIED_BYTES


def may_gain(steps: int, copied: int) -> bool:
    """Whether a replay of so many operators may gain something, before its calls are known."""
    return steps * MOST_CALLS * SAVED_BY_A_CALL > copied / COPIED_BYTES


def place(tape: Tape, kept: Collection[Slot]) -> tuple[dict[int, int], int]:
    """Storage -> offset of each storage that the calls make, and the bytes that hold them all.

    Storages that are never needed at the same time may have the same place.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, call in enumerate(tape.calls):
        for storage in call.made:
            first[storage] = position
        for slot in call.slots():
            last[slot.storage] = position
    for slot in kept:
        last[slot.storage] = len(tape.calls)
    made = list(first)
    offsets, total = lay_out([Plot(first[each], last.get(each, first[each]), tape.storages[each]) for each in made])
    return dict(zip(made, offsets, strict=True)), total


def is_empty(call: Call) -> bool:
    """Whether a call only makes memory."""
    return call.name.startswith(("empty", "new_empty"))


def writes(call: Call) -> bool:
    """Whether a form of a call writes into given tensors, and does not copy into them what it makes."""
    if call.name == "rsub":
        return True
    return len(call.results) == 1 and not reduces(call) and _has_writing_form(call.function._overloadpacket)


def reduces(call: Call) -> bool:
    """Whether it is a loss of torch that is reduced: its writing form first writes the loss of each element there."""
    losses = any(argument.name == "reduction" for argument in call.function._schema.arguments)
    return losses and call.results[0] is not None and not call.results[0].shape


@cache
def _has_writing_form(packet: Any) -> bool:
    forms = [getattr(packet, name) for name in packet.overloads()]
    return any(form._schema.is_mutable and torch.Tag.generated not in form.tags for form in forms)


class Replay:
    """A tape, bound to one piece of memory in which each storage has its place while it is read."""

    def __init__(self, tape: Tape, kept: Collection[Slot], device: torch.device) -> None:
        self._tape = tape
        self._places, size = place(tape, kept)
        self._memory = torch.empty(size, dtype=torch.uint8, device=device)
        self._tensors: dict[Slot, Tensor] = {}

    def tensor(self, slot: Slot) -> Tensor:
        """The tensor of a slot."""
        if slot not in self._tensors:
            given = self._tape.given.get(slot.storage)
            if given is None:
                self._tensors[slot] = slot.on(self._memory, self._places[slot.storage])
            else:
                self._tensors[slot] = slot.of(given)
        return self._tensors[slot]

    def bind(self, start: int, stop: int, call_opaque: Callable[..., None]) -> list[Bound]:
        """Run the calls from `start` to `stop`, and return them bound.

        call_opaque  is given those that are not torch's, function and tensors, in place of calling them
        """
        bound: list[Bound] = []
        for call in self._tape.calls[start:stop]:
            if not call.name:
                tensors = list(map(self.tensor, call.args))
                call_opaque(call.function, *tensors)
                bound.append(partial(call.function, *tensors))
            elif not (call.made and is_empty(call)):
                bound.append(bind_call(call, self.tensor))
        return bound


class TorchCalls:
    """The calls of a compiled tape that have no form in C++: each is bound when it is made first."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._bound: dict[int, Bound] = {}

    def make_workspace(self, size: int) -> Tensor:
        """The memory in which the compiled step works."""
        memory = torch.zeros(size + ALIGNMENT, dtype=torch.uint8, device="cpu")
        self._workspace = memory[-memory.data_ptr() % ALIGNMENT :][:size]
        return self._workspace

    def __call__(self, position: int, addresses: Sequence[int]) -> None:
        """Make a call on tensors at these addresses, one for each of its slots: in the workspace, or given."""
        if position in self._bound:
            self._bound[position]()
            return
        call, start = self._tape.calls[position], self._workspace.data_ptr()
        places = {slot: address - start for slot, address in zip(call.slots(), addresses, strict=True)}

        def tensor(slot: Slot) -> Tensor:
            if 0 <= places[slot] < len(self._workspace):
                return replace(slot, offset=0).on(self._workspace, places[slot])
            return slot.of(self._tape.given[slot.storage])

        with torch.inference_mode(False), torch.no_grad():
            self._bound[position] = bind_call(call, tensor)


def bind_call(call: Call, tensor: Callable[[Slot], Tensor]) -> Bound:
    """The quickest form of a call that takes these tensors; it has run once when this returns."""
    args, kwargs = exchange((call.args, dict(call.kwargs)), Slot, tensor)
    made = [tensor(slot) for slot in call.results if slot is not None and slot.storage in call.made]
    for form in _forms(call, args, kwargs, made):
        try:
            form()
        except TypeError:  # torch knows no such arguments: nothing has run
            continue
        return form
    raise AssertionError(f"{call.function} cannot be called again")


def _forms(call: Call, args: Any, kwargs: Any, made: list[Tensor]) -> Iterator[Bound]:
    """The ways of making a call, the quickest first: torch's own function, the overload that writes, a copy."""
    quick = getattr(torch, call.name, None)
    if not isinstance(quick, types.BuiltinFunctionType):
        quick = None
    if not made:
        quick = quick or getattr(torch.Tensor, call.name, None)
        if quick is not None:
            yield partial(quick, *args, **kwargs)
        yield partial(call.function._op, *args, **kwargs)
        return
    if len(made) == 1 and len(call.results) == 1 and not call.function._schema.is_mutable and not reduces(call):
        if call.name == "rsub" and len(args) == 2 and not kwargs and not isinstance(args[1], Tensor):
            yield partial(_subtract_from, args[1], args[0], made[0])
        if quick is not None:
            yield partial(quick, *args, **kwargs, out=made[0])
        for overload, name in _writing_overloads(call.function):
            yield partial(overload._op, *args, **kwargs, **{name: made[0]})
    yield partial(_copy, partial(call.function, *args, **kwargs), made)


def _subtract_from(number: float, x: Tensor, out: Tensor) -> None:
    """Write number - x, for which torch has no function that writes."""
    torch.neg(x, out=out).add_(number)


def _writing_overloads(function: Any) -> Iterator[tuple[Any, str]]:
    """The overloads that do the same and write into a given tensor, with the name of that argument."""
    packet = function._overloadpacket
    wanted = [(argument.name, str(argument.type)) for argument in function._schema.arguments]
    for name in packet.overloads():
        overload = getattr(packet, name)
        out = [a.name for a in overload._schema.arguments if a.is_out]
        read = [(a.name, str(a.type)) for a in overload._schema.arguments if not a.is_out]
        if read == wanted and len(out) == 1 and str(function._schema.returns[0].type) == "Tensor":
            yield overload, out[0]


def _copy(function: Bound, made: Sequence[Tensor]) -> None:
    """Make a call that knows no other form than returning new tensors."""
    result = function()
    returned = [
        each for each in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(each, Tensor)
    ]
    for output, tensor in zip(made, returned, strict=True):
        output.copy_(tensor)
