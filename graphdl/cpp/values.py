"""What one element of a tensor is computed from: formulas are written with these values as with numbers.

def tanh_backward(dy: Value, y: Value) -> Value:
return dy * (1 - y * y)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from graphdl.errors import CompileError
from graphdl.execution.tape import Slot

TYPES = {
    torch.float32: ("float", "f32"), torch.float64: ("double", "f64"),
    torch.int64: ("int64_t", "i64"), torch.int32: ("int32_t", "i32"), torch.int16: ("int16_t", "i16"),
    torch.int8: ("int8_t", "i8"), torch.uint8: ("uint8_t", "u8"), torch.bool: ("bool", "u8"),
}  # fmt: skip
"""Type -> its name in C++, and the beginning of the name of its vectors."""


def ctype(dtype: torch.dtype) -> str:
    """The type in C++. CompileError if there is none."""
    if dtype not in TYPES:
        raise CompileError(f"numbers of the type {str(dtype).removeprefix('torch.')} have no form in C++ here")
    return TYPES[dtype][0]


@dataclass(frozen=True, eq=False)
class Value:
    """An element of a tensor, or a number computed from elements.

    operation  read, number, position, lookup, cast, an operator of C++, or a function of step.h without its v
    parts      what it is computed from
    slot       read: the tensor; lookup: the tensor without the axis that `parts[0]` goes along
    number     number: the number; position: the axis; lookup: the stride of the axis
    source     lookup: all that may be read
    """

    operation: str
    dtype: torch.dtype
    parts: tuple[Value, ...] = ()
    slot: Slot | None = None
    number: float = 0
    source: Slot | None = None

    def _with(self, operation: str, other: Value | float, reverse: bool = False) -> Value:
        other = other if isinstance(other, Value) else Value("number", self.dtype, number=other)
        parts = (other, self) if reverse else (self, other)
        compares = operation in COMPARISONS
        return Value(operation, torch.bool if compares else self.dtype, parts)

    def __add__(self, other: Value | float) -> Value:
        return self._with("+", other)

    def __radd__(self, other: float) -> Value:
        return self._with("+", other, True)

    def __sub__(self, other: Value | float) -> Value:
        return self._with("-", other)

    def __rsub__(self, other: float) -> Value:
        return self._with("-", other, True)

    def __mul__(self, other: Value | float) -> Value:
        return self._with("*", other)

    def __rmul__(self, other: float) -> Value:
        return self._with("*", other, True)

    def __truediv__(self, other: Value | float) -> Value:
        return self._with("/", other)

    def __rtruediv__(self, other: float) -> Value:
        return self._with("/", other, True)

    def __neg__(self) -> Value:
        return Value("negative", self.dtype, (self,))

    def __lt__(self, other: Value | float) -> Value:
        return self._with("<", other)

    def __le__(self, other: Value | float) -> Value:
        return self._with("<=", other)

    def __gt__(self, other: Value | float) -> Value:
        return self._with(">", other)

    def __ge__(self, other: Value | float) -> Value:
        return self._with(">=", other)

    def __and__(self, other: Value) -> Value:
        return self._with("&", other)

    def __or__(self, other: Value) -> Value:
        return self._with("|", other)

    def __xor__(self, other: Value) -> Value:
        return self._with("^", other)

    def __invert__(self) -> Value:
        return Value("~", self.dtype, (self,))

    def walk(self) -> list[Value]:
        """The value and all that it is computed from, each once."""
        found: dict[int, Value] = {id(self): self}
        waiting = [self]
        while waiting:
            for part in waiting.pop().parts:
                if id(part) not in found:
                    found[id(part)] = part
                    waiting.append(part)
        return list(found.values())

    @cached_property
    def reads(self) -> list[Slot]:
        """The memory that it is read from."""
        return [slot for each in self.walk() if (slot := each.source or each.slot) is not None]

    @cached_property
    def looks_up(self) -> list[Slot]:
        """The memory of which it may read any element."""
        return [each.source for each in self.walk() if each.source is not None]

    def exchanged(self, leaf: Callable[[Value], Value], known: dict[int, Value] | None = None) -> Value:
        """The value with its leaves, and its lookups, exchanged."""
        known = {} if known is None else known
        if id(self) not in known:
            parts = tuple(part.exchanged(leaf, known) for part in self.parts)
            made = self if all(a is b for a, b in zip(parts, self.parts, strict=True)) else replace(self, parts=parts)
            known[id(self)] = leaf(made) if made.slot is not None or made.operation == "position" else made
        return known[id(self)]


COMPARISONS = {"<", "<=", ">", ">=", "==", "!="}


def equal(a: Value, b: Value | float) -> Value:
    """a = b."""
    return a._with("==", b)


def unequal(a: Value, b: Value | float) -> Value:
    """a ≠ b."""
    return a._with("!=", b)


def cast(value: Value, dtype: torch.dtype) -> Value:
    """The value in another type."""
    ctype(dtype)
    if value.dtype == dtype:
        return value
    if value.operation == "number":
        return Value("number", dtype, number=value.number)
    if dtype == torch.bool:
        return unequal(value, 0)
    return Value("cast", dtype, (value,))


def choose(condition: Value, a: Value | float, b: Value | float) -> Value:
    """a where the condition holds, else b."""
    like = a if isinstance(a, Value) else b
    assert isinstance(like, Value)
    first, second = (each if isinstance(each, Value) else number(each, like.dtype) for each in (a, b))
    return Value("?", first.dtype, (condition, first, second))


def call(name: str, *values: Value) -> Value:
    """A function of step.h."""
    return Value(name, values[0].dtype, values)


def number(value: float, dtype: torch.dtype) -> Value:
    """A constant."""
    return Value("number", dtype, number=value)


def read(slot: Slot) -> Value:
    """An element of a tensor."""
    ctype(slot.dtype)
    return Value("read", slot.dtype, slot=slot)


def position(axis: int) -> Value:
    """The index along an axis, which counts from the last one: -1, -2, ..."""
    return Value("position", torch.int64, number=axis)


def lookup(source: Slot, axis: int, index: Value) -> Value:
    """The element at an index along one axis, which keeps size 1, and at the same place along the others.

    The index may be any within the axis.
    """
    axis %= len(source.shape)
    shape = (*source.shape[:axis], 1, *source.shape[axis + 1 :])
    rest = Slot(source.storage, source.offset, shape, source.stride, source.dtype)
    return Value("lookup", source.dtype, (index,), rest, source.stride[axis], source)
