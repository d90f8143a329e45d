"""What a tensor of the graph is in C++: memory, a number, or an expression of its elements.

A Buffer is memory with strides; a view of it is other strides of the same memory. A Lazy is written into the loop that
reads it, or, where several read it, into memory first. Every value is computed once and never changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import CompileError

CTYPE = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
    torch.int16: "int16_t",
    torch.int8: "int8_t",
    torch.uint8: "uint8_t",
    torch.bool: "bool",
}

Index: TypeAlias = tuple[str, ...]
"""The C++ text of an index along each axis; FLAT stands for `i`, that of a loop over all elements in their order."""
FLAT: Index = ("all elements in their order",)


def ctype(dtype: torch.dtype) -> str:
    """The type in C++."""
    if dtype not in CTYPE:
        raise CompileError(f"numbers of the type {str(dtype).removeprefix('torch.')} have no form in C++ here")
    return CTYPE[dtype]


def number(value: float, dtype: torch.dtype) -> str:
    """A number as C++ writes it."""
    if dtype == torch.bool:
        return str(bool(value)).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "NAN" if math.isnan(value) else "INFINITY" if value > 0 else "(-INFINITY)"
    if dtype.is_floating_point or value != int(value):
        text = repr(float(value)) + ("f" if dtype == torch.float32 else "")
    else:
        text = f"INT64_C({int(value)})"
    return f"({text})" if text.startswith("-") else text


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of elements that lie in their order without gaps."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def loop_head(index: str, count: int) -> str:
    """The head of a loop."""
    return f"for (int64_t {index} = 0; {index} < {count}; {index}++)"


@dataclass
class Loop:
    """A loop nest in the making. A flat one takes in later ones over as many elements.

    count   how many elements a flat one has
    stored  what it writes
    """

    head: Sequence[str]
    count: int | None = None
    lines: list[str] = field(default_factory=list)
    stored: list[Buffer] = field(default_factory=list)
    known: dict[Any, str] = field(default_factory=dict)
    held: list[Lazy] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    def outside(self, single: Buffer, text: str) -> str:
        """Read a single number before a flat loop: the compiler cannot tell that the loop does not write it."""
        if self.count in (None, 1):
            return text
        place = single.name, single.offset
        if place not in self.known:
            self.known[place] = f"c{len(self.before)}"
            self.before.append(f"const {ctype(single.dtype)} {self.known[place]} = {text};")
        return self.known[place]

    def local(self, lazy: Lazy, index: Index, text: str) -> str:
        """Give the element of an expression a name."""
        name = f"x{len(self.lines)}"
        self.lines.append(f"const {ctype(lazy.dtype)} {name} = {text};")
        self.known[id(lazy), index] = name
        self.held.append(lazy)
        return name

    def takes(self, value: Value, into: Buffer) -> bool:
        """Whether a value can be stored here too: what it reads must not come later in this loop."""
        return self.count == into.size and not any(
            read.name == stored.name and (read.size, read.offset) != (stored.size, stored.offset)
            for read in buffers_of(value)
            for stored in self.stored
        )

    @property
    def text(self) -> str:
        """The loop in C++."""
        loop = [*self.head, "{", *self.lines, "}"]
        return "\n".join(["{", *self.before, *loop, "}"] if self.before else loop)


@dataclass(frozen=True)
class Buffer:
    """Memory with strides, in elements, from an offset on."""

    name: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def meta(self) -> Tensor:
        """The same layout as a tensor without memory."""
        return torch.empty(0, dtype=self.dtype, device="meta").as_strided(self.shape, self.strides, self.offset)

    @property
    def flat(self) -> bool:
        """Whether its elements lie in their order without gaps."""
        return self.size == 1 or self.meta.is_contiguous()

    def view(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What a viewing function of torch makes of it; RuntimeError if its strides do not allow it."""
        found = function(self.meta, *arguments, **named)
        if isinstance(found, (tuple, list)):
            return [self._of(each) for each in found]
        return self._of(found)

    def _of(self, tensor: Tensor) -> Buffer:
        return Buffer(self.name, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), self.dtype)

    def at(self, loop: Loop, index: Index) -> str:
        """The element at an index."""
        if index is FLAT and self.size == 1:
            return loop.outside(self, f"{self.name}[{self.offset}]")
        if index is FLAT:
            terms = ["i"]
        else:
            terms = [f"{i} * {s}" for i, s, n in zip(index, self.strides, self.shape, strict=True) if s and n > 1]
        return f"{self.name}[{' + '.join([*terms, str(self.offset)])}]"

    @property
    def pointer(self) -> str:
        """The address of its first element."""
        return f"{self.name} + {self.offset}"


@dataclass(frozen=True)
class Constant:
    """One number in every place."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    value: float

    flat = True

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    def at(self, loop: Loop, index: Index) -> str:
        """The number."""
        return number(self.value, self.dtype)


@dataclass(eq=False)
class Lazy:
    """An expression of an element.

    reads     what it is computed from
    element   (loop, index) -> the expression in C++
    pointwise  whether it reads nothing but the elements at the same index
    held      where it is in memory, once it is
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    reads: Sequence[Value]
    element: Callable[[Loop, Index], str]
    pointwise: bool = False
    held: Buffer | None = None

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def flat(self) -> bool:
        """Whether a loop over all elements in their order can compute it."""
        if self.held is not None:
            return self.held.flat
        return self.pointwise and all(r.flat and (r.size == 1 or r.shape == self.shape) for r in self.reads)

    def at(self, loop: Loop, index: Index) -> str:
        """The name of the element at an index."""
        if self.held is not None:
            return self.held.at(loop, index)
        known = loop.known.get((id(self), index))
        return loop.local(self, index, self.element(loop, index)) if known is None else known


Value: TypeAlias = Buffer | Constant | Lazy


def aligned(index: Index, value: Value) -> Index:
    """The index of a value that is repeated along axes of length 1, and along leading axes that it lacks."""
    if index is FLAT:
        return FLAT
    index = index[len(index) - len(value.shape) :]
    return tuple("0" if n == 1 else i for i, n in zip(index, value.shape, strict=True))


def buffers_of(value: Value) -> Iterator[Buffer]:
    """The memory that a value is read from."""
    if isinstance(value, Buffer):
        yield value
    elif isinstance(value, Lazy):
        if value.held is not None:
            yield value.held
        else:
            for read in value.reads:
                yield from buffers_of(read)
