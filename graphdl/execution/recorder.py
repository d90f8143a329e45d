"""Records the calls that torch makes while operators run, after torch has taken composite functions apart."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from graphdl.execution.tape import Call, Slot, Tape, address, exchange

HOST_READS = {
    "numpy", "tolist", "__array__", "data_ptr", "__dlpack__", "resize_", "set_",
    "item", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__contains__",
}  # fmt: skip
"""Methods by which Python gets at the numbers of a tensor without a call that the recorder sees."""


class Traits(NamedTuple):
    """What a function of torch is like, whatever it is called with.

    composite  whether it is made of other functions and has no kernel
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
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CPU")
    return Traits(
        composite=func._can_decompose() and not has_kernel,
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
    """A context that notifies a recorder when Python reads the numbers of a tensor."""

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
        if known.mutable:
            exchange((args, kwargs), Tensor, self._measure)
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
            if name != "index" or torch.bool in types:  # the shape of an integer index determines that of the result
                self.note(f"the shape of a tensor depends on numbers ({name})")
        elif args[0].storage in self._given:
            self.note(f"the shape of a tensor that stays is changed in place ({name})")

    def _number(self, storage: torch.UntypedStorage) -> int | None:
        """The number of a storage that has been met and still lives."""
        held, number = self._known.get(address(storage), (None, None))
        return number if held is not None and held() is storage else None

    def _measure(self, tensor: Tensor) -> None:
        """Note the size of a storage again: torch resizes an empty tensor that it writes into."""
        storage = tensor.untyped_storage()
        number = self._number(storage)
        if number is not None:
            self._storages[number] = storage.nbytes()

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
