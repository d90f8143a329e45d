"""Replays recorded calls on buffers that stay: no Python but the calls themselves, and nothing is allocated."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.execution.recorded.placing import place
from graphdl.execution.recorded.tape import Call, Layout, Slot, exchange

Bound: TypeAlias = Callable[[], Any]


class Replay:
    """Recorded calls, bound to one piece of memory, in which each tensor has its place while somebody reads it.

    calls    in order
    kept     the slots whose tensors are read after the last call
    tensors  slot -> tensor, once the call that makes it is bound
    bytes    of the memory
    """

    def __init__(self, calls: Sequence[Call], kept: Collection[int]) -> None:
        self._calls = calls
        self.tensors: dict[int, Tensor] = {}
        self._places, self.bytes = place(calls, kept)
        device = next((layout.device for call in calls for _, layout in call.made), torch.device("cpu"))
        self._memory = torch.empty(self.bytes, dtype=torch.uint8, device=device)

    def bind(self, start: int, stop: int) -> list[Bound]:
        """Run the calls start to stop, and return them bound. What they read must be there already."""
        bound = []
        for call in self._calls[start:stop]:
            args, kwargs = exchange((call.args, call.kwargs), Slot, lambda slot: self.tensors[slot.index])
            if call.is_view:
                views = call.function(*args, **kwargs)
                views = views if isinstance(views, (tuple, list)) else (views,)
                self.tensors.update(zip((slot for slot, _ in call.made), views, strict=True))
                continue
            for slot, layout in call.made:
                self.tensors[slot] = self._at(self._places[slot], layout)
            if not call.name.startswith(("empty", "new_empty")):
                outputs = [self.tensors[slot] for slot, _ in call.made]
                bound.append(_first_that_runs(call, args, kwargs, outputs))
        return bound

    def _at(self, offset: int, layout: Layout) -> Tensor:
        """The tensor of a layout at an offset of the memory."""
        piece = self._memory[offset : offset + layout.bytes].view(layout.dtype)
        return piece.as_strided(layout.shape, layout.stride)


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
    if not isinstance(quick, types.BuiltinFunctionType):
        quick = None
    if not outputs:
        quick = quick or getattr(torch.Tensor, call.name, None)
        if quick is not None:
            yield partial(quick, *args, **kwargs)
        yield partial(call.function._op, *args, **kwargs)
        return
    if len(outputs) == 1 and call.results == 1 and not call.function._schema.is_mutable:
        if quick is not None:
            yield partial(quick, *args, **kwargs, out=outputs[0])
        for overload, name in _writing_overloads(call.function):
            yield partial(overload._op, *args, **kwargs, **{name: outputs[0]})
    yield partial(_copy, partial(call.function, *args, **kwargs), outputs)


def _writing_overloads(function: Any) -> Iterator[tuple[Any, str]]:
    """The overloads that do the same and write into a given tensor, with the name of that argument."""
    packet = function._overloadpacket
    wanted = [(argument.name, str(argument.type)) for argument in function._schema.arguments]
    for name in packet.overloads():
        overload = getattr(packet, name)
        out = [a.name for a in overload._schema.arguments if a.is_out]
        read = [(a.name, str(a.type)) for a in overload._schema.arguments if not a.is_out]
        if read == wanted and len(out) == 1:
            yield overload, out[0]


def _copy(function: Bound, outputs: list[Tensor]) -> None:
    """Make a call that knows no other form than returning new tensors, or none in the place of some."""
    result = function()
    made = [each for each in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(each, Tensor)]
    for output, tensor in zip(outputs, made, strict=True):
        output.copy_(tensor)
