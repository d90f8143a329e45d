"""A training step as a list of tensor calls on storages: the only intermediate form of a step.

A Recorder writes down every call that torch makes while operators run, after torch has taken composite functions apart.
Each tensor is a Slot: a part of a storage, with an offset, a shape and strides. Views are not recorded as calls: a view
is another slot of the same storage. What a step costs is read from the tape, replay binds it to memory, and C++ is
written from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Slot:
    """A tensor as a part of a storage. offset and stride count elements."""

    storage: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return torch.Size(self.shape).numel()

    @cached_property
    def extent(self) -> int:
        """The elements of the storage from the first one of the slot to the last one."""
        if not self.size:
            return 0
        return sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True)) + 1

    def on(self, memory: Tensor, offset: int) -> Tensor:
        """The tensor in a memory of bytes, where the storage begins at the byte `offset`."""
        start = offset + self.offset * self.dtype.itemsize
        piece = memory[start : start + self.extent * self.dtype.itemsize].view(self.dtype)
        return piece.as_strided(self.shape, self.stride)

    def of(self, storage: torch.UntypedStorage) -> Tensor:
        """The tensor in its storage."""
        whole = torch.empty(0, dtype=self.dtype, device=storage.device)
        return whole.set_(storage, self.offset, self.shape, self.stride)


@dataclass(frozen=True)
class Call:
    """A call of a torch function on slots, or of something else on nothing.

    function  an overload of torch; or any callable without arguments, which was not recorded inside
    results   what it returned: a slot, or None for what is not a tensor
    made      the storages that it made
    origin    the node whose operator made the call, for the text of an error
    """

    function: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[Slot | None, ...] = ()
    made: tuple[int, ...] = ()
    origin: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The function's name without its overload; "" if it is not a function of torch."""
        packet = getattr(self.function, "_overloadpacket", None)
        return packet.__name__ if packet is not None else ""

    def slots(self) -> list[Slot]:
        """The slots that it reads, writes and returns."""
        found = [slot for slot in self.results if slot is not None]
        exchange((self.args, dict(self.kwargs)), Slot, found.append)
        return found

    def written(self) -> list[Slot]:
        """The slots that were there before and that it writes into."""
        schema = getattr(self.function, "_schema", None)
        found: list[Slot] = []
        if schema is None or not schema.is_mutable:
            return found
        given = self._given()
        for argument in schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                exchange(given.get(argument.name), Slot, found.append)
        return found

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers; attention without dropout draws none."""
        return torch.Tag.nondeterministic_seeded in self.function.tags and self._given().get("dropout_p") != 0

    def _given(self) -> dict[str, Any]:
        """The arguments by name, those left out with their defaults."""
        arguments = self.function._schema.arguments
        given = {argument.name: value for argument, value in zip(arguments, self.args, strict=False)}
        return {argument.name: argument.default_value for argument in arguments} | given | dict(self.kwargs)


@dataclass(frozen=True)
class Tape:
    """The calls of a step.

    calls     in order
    storages  the bytes of each storage
    given     storage -> its bytes, of those that no call made
    deaths    storage -> the position of the first call that found it gone
    obstacle  why the calls cannot stand for the step on other numbers; "" if nothing speaks against it
    """

    calls: tuple[Call, ...]
    storages: tuple[int, ...]
    given: Mapping[int, torch.UntypedStorage]
    deaths: Mapping[int, int] = field(default_factory=dict)
    obstacle: str = ""

    def same_as(self, other: Tape) -> bool:
        """Whether the calls, their settings and the storages on which they work are the same."""
        return (
            self.calls == other.calls
            and self.storages == other.storages
            and self.given.keys() == other.given.keys()
            and all(address(storage) == address(other.given[k]) for k, storage in self.given.items())
        )


def address(storage: torch.UntypedStorage) -> int:
    """A number that identifies a storage while it lives."""
    return int(storage._cdata)


def exchange(arguments: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """The arguments of a call with every one of a kind exchanged."""
    if isinstance(arguments, kind):
        return function(arguments)
    if type(arguments) in (tuple, list):
        return type(arguments)([exchange(each, kind, function) for each in arguments])
    if type(arguments) is dict:
        return {name: exchange(each, kind, function) for name, each in arguments.items()}
    return arguments
