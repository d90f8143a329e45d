"""A training step as a list of tensor calls on storages: the only intermediate form of a step.

A Recorder writes down every call that torch makes while operators run, after torch has taken composite functions apart.
Each tensor is a Slot: a part of a storage, with an offset, a shape and strides. Views need no call of their own: a view
is another slot of the same storage. What a step costs is read from the tape, replay binds it to memory, and C++ is
written from it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

HOST_READS = {
    "numpy", "tolist", "__array__", "data_ptr", "__dlpack__", "resize_", "set_",
    "item", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__contains__",
}  # fmt: skip
"""Methods by which Python gets at the numbers of a tensor without a call that the recorder sees."""


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

    @property
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
        """The function's name without its overload; "" if it is none of torch's."""
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
        given = {argument.name: value for argument, value in zip(schema.arguments, self.args, strict=False)}
        given |= dict(self.kwargs)
        for argument in schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                exchange(given.get(argument.name), Slot, found.append)
        return found


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
    """What tells a storage from others while it lives."""
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


class Traits(NamedTuple):
    """What a function of torch is like, whatever it is called with.

    composite  whether it is made of other functions
    mutable    whether it writes into tensors that it is given
    view       whether what it returns shares the memory of what it is given
    reads      whether it gives Python a number
    shapes     whether the shape of its result may depend on numbers
    reshapes   whether it changes the shape of a tensor in place
    """

    composite: bool
    mutable: bool
    view: bool
    reads: bool
    shapes: bool
    reshapes: bool


@cache
def traits(func: Any) -> Traits:
    """The traits of an overload."""
    schema = func._schema
    return Traits(
        composite=func._can_decompose(),
        mutable=schema.is_mutable,
        view=not schema.is_mutable and any(each.alias_info is not None for each in schema.returns),
        reads=torch.Tag.data_dependent_output in func.tags,
        shapes=torch.Tag.dynamic_output_shape in func.tags,
        reshapes=torch.Tag.inplace_view in func.tags,
    )


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that sees the calls made in it, after torch has taken them apart."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its whole compiler, to keep it away from here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a call, or those that it is made of."""
        kwargs = kwargs or {}
        if not traits(func).composite:
            return self.make(func, tuple(args), kwargs)
        with self:
            result = func.decompose(*args, **kwargs)
        return self.make(func, tuple(args), kwargs) if result is NotImplemented else result

    def make(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call and look at it."""
        return func(*args, **kwargs)


class HostReads(TorchFunctionMode):
    """A context that tells a recorder when Python reads the numbers of a tensor."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a call, and look at its name."""
        name = getattr(func, "__name__", "")
        if name in HOST_READS:
            self._recorder.note(f"Python reads numbers of a tensor ({name})")
        return func(*args, **(kwargs or {}))


@contextmanager
def recording() -> Iterator[Recorder]:
    """A context whose calls are recorded.

    with recording() as recorder:
        ...
    recorder.tape()
    """
    recorder = Recorder()
    with HostReads(recorder), recorder:
        yield recorder


class Recorder(Watcher):
    """A context that records the calls made in it; `recording` makes one.

    origin  the node whose operator makes the calls to come
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.obstacle = self.origin = ""
        self._storages: list[int] = []
        self._given: dict[int, torch.UntypedStorage] = {}
        self._deaths: dict[int, int] = {}
        self._known: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._paused = False

    def tape(self) -> Tape:
        """What was recorded."""
        return Tape(tuple(self.calls), tuple(self._storages), dict(self._given), dict(self._deaths), self.obstacle)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose calls are not recorded: storages that they make count as given."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def call(self, function: Callable[..., None], *tensors: Tensor) -> None:
        """Call something that is called again as a whole when the tape is replayed."""
        slots = tuple(map(self.slot, tensors))
        with self.paused():
            function(*tensors)
        self.calls.append(Call(function, slots))

    def slot(self, tensor: Tensor) -> Slot:
        """The slot of a tensor; a storage that no recorded call made is given."""
        storage = tensor.untyped_storage()
        number = self._number(storage)
        if number is None:
            number = self._enter(storage)
            self._given[number] = storage
        return Slot(number, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def is_given(self, tensor: Tensor) -> bool:
        """Whether a tensor is a part of a storage that no recorded call made."""
        return self.slot(tensor).storage in self._given

    def make(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call and record it, unless it is a view."""
        if self._paused:
            return func(*args, **kwargs)
        known = traits(func)
        if known.view:
            return func(*args, **kwargs)
        held_args, held_kwargs = exchange((args, kwargs), Tensor, self.slot)
        result = func(*args, **kwargs)
        if known.reads or known.shapes or known.reshapes:
            self._look(func._overloadpacket.__name__, known, held_args)
        returned = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        made: list[int] = []
        for tensor in returned:
            if isinstance(tensor, Tensor) and self._number(tensor.untyped_storage()) is None:
                made.append(self._enter(tensor.untyped_storage()))
        if not made and not known.mutable:  # such as _unsafe_view: no more than a view
            return result
        results = tuple(self.slot(each) if isinstance(each, Tensor) else None for each in returned)
        self.calls.append(Call(func, held_args, held_kwargs, results, tuple(made), self.origin))
        return result

    def note(self, obstacle: str) -> None:
        """Note why the calls cannot stand for the step on other numbers, unless recording is paused."""
        if not self._paused:
            self.obstacle = self.obstacle or f"{self.origin}: {obstacle}".removeprefix(": ")

    def _look(self, name: str, known: Traits, args: tuple[Any, ...]) -> None:
        """Note what makes a tape stand for these numbers only."""
        if known.reads:
            self.note(f"Python reads numbers of a tensor ({name})")
        elif known.shapes:
            types: list[torch.dtype] = []
            exchange(args[1:], Slot, lambda slot: types.append(slot.dtype))
            if name != "index" or torch.bool in types:  # an index of integers has a shape of its own
                self.note(f"the shape of a tensor depends on numbers ({name})")
        elif args[0].storage in self._given:
            self.note(f"the shape of a tensor that stays is changed in place ({name})")

    def _number(self, storage: torch.UntypedStorage) -> int | None:
        """The number of a storage that has been met and still lives."""
        held, number = self._known.get(address(storage), (None, None))
        return number if held is not None and held() is storage else None

    def _enter(self, storage: torch.UntypedStorage) -> int:
        number = len(self._storages)
        self._storages.append(storage.nbytes())
        self._known[address(storage)] = (
            weakref.ref(storage, partial(_note_death, self._deaths, self.calls, number)),
            number,
        )
        return number


def _note_death(deaths: dict[int, int], calls: list[Call], number: int, _: object) -> None:
    """Note that a storage is gone. It holds no recorder, which would otherwise wait for the garbage collector."""
    deaths[number] = len(calls)
