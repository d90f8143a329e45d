"""What a pass asks of torch, as a flat list of calls.

A Recorder writes down every tensor call that is made in it, after torch has taken it apart: views, kernels, and kernels
that write into tensors that were there before. Each tensor that a call makes has a number, its slot.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

READERS = {"_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "_unique2"}
"""Calls whose result, or its shape, Python learns from the numbers themselves."""


@dataclass(frozen=True)
class Slot:
    """Stands for a tensor that a call made."""

    index: int


@dataclass(frozen=True)
class Layout:
    """What a tensor needs of memory."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        """The layout of a tensor."""
        return cls(tensor.shape, tensor.stride(), tensor.dtype, tensor.device)

    @property
    def bytes(self) -> int:
        """How much it takes, gaps between rows included."""
        if not self.shape.numel():
            return 0
        return (sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True)) + 1) * self.dtype.itemsize

    def empty(self) -> Tensor:
        """A tensor of this layout."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)


@dataclass(frozen=True)
class Call:
    """A call of a torch function. Tensors that calls made stand as slots, all others as they are.

    made     (slot, layout) of each tensor that it made, in the order in which it returns them
    results  how many results it returned, those that are no tensors too
    is_view  whether these share the memory of its first argument
    """

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: tuple[tuple[int, Layout], ...]
    results: int
    is_view: bool

    @property
    def name(self) -> str:
        """The function's name, without its overload."""
        return str(self.function.__name__).partition(".")[0]

    @property
    def writes(self) -> bool:
        """Whether a form of it writes into given tensors, and does not copy into them what it makes."""
        return self.results == 1 and _has_writing_form(self.function._overloadpacket)

    def slots(self) -> list[int]:
        """The slots that it reads or writes."""
        found = [index for index, _ in self.made]
        exchange((self.args, self.kwargs), Slot, lambda slot: found.append(slot.index))
        return found


@cache
def _has_writing_form(packet: Any) -> bool:
    forms = [getattr(packet, name) for name in packet.overloads()]
    return any(form._schema.is_mutable and torch.Tag.generated not in form.tags for form in forms)


def exchange(arguments: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """The arguments of a call with every one of a kind exchanged."""
    if isinstance(arguments, kind):
        return function(arguments)
    if type(arguments) in (tuple, list):
        return type(arguments)([exchange(each, kind, function) for each in arguments])
    if type(arguments) is dict:
        return {name: exchange(each, kind, function) for name, each in arguments.items()}
    return arguments


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that sees the calls made in it, after torch has taken them apart."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its whole compiler, to keep it away from here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a call, or those that it is made of."""
        kwargs = kwargs or {}
        with self:
            result = func.decompose(*args, **kwargs)
        return self.make(func, tuple(args), kwargs) if result is NotImplemented else result

    def make(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call and look at it."""
        return func(*args, **kwargs)


class Recorder(Watcher):
    """A context that records the calls made in it.

    fixed  whether Python has read no number from a tensor: only then are the calls the same for all numbers
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.fixed = True
        self._slots = 0
        self._known: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def make(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call and record it."""
        known_args, known_kwargs = exchange((args, kwargs), Tensor, self.stand_in)
        result = func(*args, **kwargs)
        returned = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        made = self._name(func._schema, known_args, known_kwargs, returned)
        is_view = not func._schema.is_mutable and any(each.alias_info is not None for each in func._schema.returns)
        self.calls.append(Call(func, known_args, known_kwargs, tuple(made), len(returned), is_view))
        self.fixed &= self.calls[-1].name not in READERS
        return result

    def stand_in(self, tensor: Tensor) -> Any:
        """The slot of a tensor that a call made, any other tensor itself."""
        held, known = self._known.get(id(tensor), (None, None))
        return known if held is not None and held() is tensor else tensor

    def _name(
        self, schema: Any, args: tuple[Any, ...], kwargs: dict[str, Any], returned: tuple[Any, ...]
    ) -> list[tuple[int, Layout]]:
        """Give a slot to each tensor that was made; one that was written into is that which was given."""
        given = {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)} | kwargs
        written = {
            each: given.get(argument.name)
            for argument in schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
            for each in argument.alias_info.before_set
        }
        made = []
        for k, tensor in enumerate(returned):
            if not isinstance(tensor, Tensor):
                continue
            declaration = schema.returns[min(k, len(schema.returns) - 1)]  # a list of tensors is declared once
            known: Any = Slot(self._slots)
            if declaration.alias_info is not None and declaration.alias_info.is_write:
                known = written[next(iter(declaration.alias_info.before_set))]
            else:
                made.append((self._slots, Layout.of(tensor)))
                self._slots += 1
            self._known[id(tensor)] = weakref.ref(tensor), known
        return made
