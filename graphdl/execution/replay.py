"""Replays recorded calls on buffers that stay: no Python but the calls themselves, and nothing is allocated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.execution.tape import Call, Layout, Slot, exchange

Bound: TypeAlias = Callable[[], Any]


class Replay:
    """Recorded calls, bound to buffers; a buffer serves again once nobody reads it.

    calls   in order
    kept    the slots whose tensors are read after the last call
    """

    def __init__(self, calls: Sequence[Call], kept: Collection[int]) -> None:
        self._calls = calls
        self._roots = _roots(calls)
        self._last = self._last_uses(kept)
        self.tensors: dict[int, Tensor] = {}
        self._free: dict[Layout, list[Tensor]] = {}
        self.bytes = 0

    def _last_uses(self, kept: Collection[int]) -> dict[int, list[int]]:
        """Position of a call -> the slots whose memory is free after it."""
        last: dict[int, int] = {}
        for position, call in enumerate(self._calls):
            for slot in call.slots():
                if slot in self._roots:
                    last[self._roots[slot]] = position
        pinned = {self._roots.get(slot) for slot in kept}
        freed: dict[int, list[int]] = {}
        for slot, position in last.items():
            if slot not in pinned:
                freed.setdefault(position, []).append(slot)
        return freed

    def bind(self, start: int, stop: int) -> list[Bound]:
        """Run the calls start to stop, and return them bound. What they read must be there already."""
        bound = []
        for position in range(start, stop):
            call = self._calls[position]
            args, kwargs = exchange((call.args, call.kwargs), Slot, lambda slot: self.tensors[slot.index])
            if call.is_view:
                views = call.function(*args, **kwargs)
                views = views if isinstance(views, (tuple, list)) else (views,)
                self.tensors.update(zip((slot for slot, _ in call.made), views, strict=True))
            else:
                for slot, layout in call.made:
                    self.tensors[slot] = self._take(layout)
                outputs = [self.tensors[slot] for slot, _ in call.made]
                if not call.name.startswith(("empty", "new_empty")):
                    bound.append(_first_that_runs(call, args, kwargs, outputs))
            for slot in self._last.get(position, ()):
                self._free.setdefault(Layout.of(self.tensors[slot]), []).append(self.tensors[slot])
        return bound

    def _take(self, layout: Layout) -> Tensor:
        free = self._free.get(layout)
        if free:
            return free.pop()
        self.bytes += layout.bytes
        return layout.empty()


def _roots(calls: Sequence[Call]) -> dict[int, int]:
    """Slot -> the slot whose memory it shares, itself if it has its own; views of other tensors are left out."""
    roots: dict[int, int] = {}
    for call in calls:
        for slot, _ in call.made:
            if not call.is_view:
                roots[slot] = slot
            elif isinstance(call.args[0], Slot) and call.args[0].index in roots:
                roots[slot] = roots[call.args[0].index]
    return roots


def planned_bytes(calls: Sequence[Call]) -> int:
    """The bytes of all tensors that the calls make, as if no memory served twice."""
    return sum(layout.bytes for call in calls if not call.is_view for _, layout in call.made)


def _first_that_runs(call: Call, args: Any, kwargs: Any, outputs: list[Tensor]) -> Bound:
    """The quickest form of a call that takes these arguments; it has run once when this returns."""
    for form in _forms(call, args, kwargs, outputs):
        try:
            form()
        except TypeError:  # torch knows no such arguments: nothing has run
            continue
        return form
    raise AssertionError(f"{call.function} cannot be called again")


def _forms(call: Call, args: Any, kwargs: Any, outputs: list[Tensor]) -> Iterator[Bound]:
    """The ways of making a call, the quickest first: torch's own function, the overload that writes, a copy."""
    quick = getattr(torch, call.name, None)
    if not outputs:
        method = getattr(torch.Tensor, call.name, None)
        if quick is not None:
            yield partial(quick, *args, **kwargs)
        elif method is not None:
            yield partial(method, *args, **kwargs)
        yield partial(call.function._op, *args, **kwargs)
        return
    if quick is not None:
        yield partial(quick, *args, **kwargs, out=outputs[0] if len(outputs) == 1 else tuple(outputs))
    for overload, names in _writing_overloads(call.function):
        if len(names) == len(outputs):
            yield partial(overload._op, *args, **kwargs, **dict(zip(names, outputs, strict=True)))
    yield partial(_copy, partial(call.function, *args, **kwargs), outputs)


def _writing_overloads(function: Any) -> Iterator[tuple[Any, list[str]]]:
    """The overloads that do the same and write into given tensors, with the names of these."""
    packet = function._overloadpacket
    wanted = [(a.name, str(a.type)) for a in function._schema.arguments]
    for name in packet.overloads():
        overload = getattr(packet, name)
        arguments = overload._schema.arguments
        if [(a.name, str(a.type)) for a in arguments if not a.is_out] == wanted and len(arguments) > len(wanted):
            yield overload, [a.name for a in arguments if a.is_out]


def _copy(function: Bound, outputs: list[Tensor]) -> None:
    result = function()
    for output, tensor in zip(outputs, result if isinstance(result, (tuple, list)) else (result,), strict=True):
        output.copy_(tensor)
