"""What is computed at one index of a loop nest, or at those of one vector: each number has a name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from graphdl.cpp.loops import Nest
from graphdl.cpp.values import COMPARISONS, TYPES, Value, ctype
from graphdl.execution.tape import Slot

MOST_LANES = 16


@dataclass(frozen=True)
class Name:
    """A number, or a vector of them, that has been computed.

    level  the number of loops around it;  width  of masks: the bytes of a lane
    """

    text: str
    dtype: torch.dtype
    level: int
    vector: bool
    width: int = 0


class Elements:
    """Names what is computed, inside as few loops as possible.

    pointers  the beginnings of the memory that is read and written
    lanes     the numbers in a vector
    lines     what is computed inside so many loops
    known     what has a name already, inside so many loops
    part      whether the vectors hold no more than what remains of a row
    """

    def __init__(self, nest: Nest, vector_bytes: int) -> None:
        self.nest, self.depth = nest, len(nest.space)
        self.pointers: list[Slot] = []
        self.part, self._count = False, 0
        self.lanes, self._width = _lanes(nest, vector_bytes)
        self.lines: list[list[str]] = [[] for _ in range(self.depth + 1)]
        self.known: list[dict[object, Name]] = [{} for _ in range(self.depth + 1)]

    def enter(self, part: bool) -> None:
        """Begin with whole vectors, or with what remains of a row."""
        self.part = part
        for level in range(self.nest.vector + 1, self.depth + 1):
            self.lines[level], self.known[level] = [], {}

    # Memory

    def place(self, slot: Slot, *more: str) -> str:
        """A pointer to the element at this index, and some more."""
        start = Slot(slot.storage, slot.offset, (), (), slot.dtype)
        if start not in self.pointers:
            self.pointers.append(start)
        terms = [f"i{k}" if s == 1 else f"i{k} * {s}" for k, s in enumerate(slot.stride) if s]
        pointer = " + ".join([f"p{self.pointers.index(start)}", *terms, *more])
        return f"(uint8_t*)({pointer})" if slot.dtype == torch.bool else pointer

    def rest(self) -> int:
        """The lanes in use."""
        return self.nest.space[self.nest.vector] % self.lanes if self.part else self.lanes

    def save(self, slot: Slot, name: Name) -> str:
        """Write a number, or a vector, to memory."""
        place, text, kind = self.place(slot), name.text, self.type(name)
        if not name.vector:
            return f"*({place}) = {text};"
        if slot.dtype == torch.bool:
            kind = f"u8x{self.lanes}"
            text = f"__builtin_convertvector({text} & 1, {kind})"
        stride = slot.stride[self.nest.vector]
        if stride != 1:
            return f"save_apart<{kind}, {self.rest()}>({place}, {stride}, {text});"
        return f"save_part<{kind}, {self.rest()}>({place}, {text});" if self.part else f"save<{kind}>({place}, {text});"

    def _read(self, slot: Slot) -> Name:
        key = key_of(slot)
        for known in self.known:
            if key in known:
                return known[key]
        level = max((k + 1 for k, s in enumerate(slot.stride) if s), default=0)
        return self._load(key, slot, self.place(slot), level)

    def _lookup(self, value: Value) -> Name:
        """Element for element where the index differs from lane to lane, else as a read."""
        index, slot, along = self.value(value.parts[0]), value.slot, int(value.number)
        assert slot is not None
        level = max([index.level, *(k + 1 for k, s in enumerate(slot.stride) if s)])
        if not index.vector:
            place = self.place(slot, f"{index.text} * {along}")
            return self._load((place,), slot, place, level)
        kind, stride = self.vector_type(slot.dtype), slot.stride[self.nest.vector]
        text = f"look_up<{kind}, {self.rest()}>({self.place(slot)}, {stride}, {index.text}, {along})"
        return self._loaded((text,), text, slot, level)

    def _load(self, key: object, slot: Slot, place: str, level: int) -> Name:
        stride = slot.stride[self.nest.vector] if self.nest.vector >= 0 else 0
        kind = self.vector_type(slot.dtype)
        if not stride:
            text = f"*({place})" if slot.dtype != torch.bool else f"*({place}) != 0"
            return self._name(key, text, slot.dtype, level, False)
        if stride != 1:
            text = f"load_apart<{kind}, {self.rest()}>({place}, {stride})"
        else:
            text = f"load_part<{kind}, {self.rest()}>({place})" if self.part else f"load<{kind}>({place})"
        return self._loaded(key, text, slot, level)

    def _loaded(self, key: object, text: str, slot: Slot, level: int) -> Name:
        """A vector from memory, in which a truth is a byte."""
        if slot.dtype == torch.bool:
            text = f"__builtin_convertvector({text}, {self._mask(self._width)}) != 0"
        return self._name(key, text, slot.dtype, level, True, self._width)

    # Values

    def value(self, value: Value) -> Name:
        """The name of a value."""
        if value.operation == "read":
            assert value.slot is not None
            return self._read(value.slot)
        if value.operation == "lookup":
            return self._lookup(value)
        if value.operation == "number":
            text = number_text(value.number, value.dtype)
            return Name(text, value.dtype, 0, False)
        if value.operation == "position":
            return self._position(int(value.number))
        parts = [self.value(part) for part in value.parts]
        if value.operation == "cast":
            return self.cast(parts[0], value.dtype)
        vector = any(part.vector for part in parts)
        if vector:
            parts = [self.spread(part) for part in parts]
        level = max(part.level for part in parts)
        return self._operation(value, parts, level, vector)

    def _operation(self, value: Value, parts: list[Name], level: int, vector: bool) -> Name:
        operation, width = value.operation, 0
        if vector and value.dtype == torch.bool:
            masks = [part.width for part in parts if part.dtype == torch.bool]
            width = max(masks) if masks else parts[0].dtype.itemsize
            parts = [self._wide(part, width) for part in parts]
        elif vector and operation == "?":
            parts = [self._wide(parts[0], value.dtype.itemsize), *parts[1:]]
        texts = [part.text for part in parts]
        if operation == "?" and vector and value.dtype == torch.bool:
            text = "({0} & {1}) | (~{0} & {2})".format(*texts)
        elif operation == "?":
            text = "{} ? {} : {}".format(*texts)
        elif operation in ("negative", "~"):
            sign = "-" if operation == "negative" else "!" if value.dtype == torch.bool and not vector else "~"
            text = f"{sign}{texts[0]}"
        elif operation in COMPARISONS and vector:
            text = f"({self._mask(width)})({texts[0]} {operation} {texts[1]})"
        elif not operation[0].isalpha():
            text = f"{texts[0]} {operation} {texts[1]}"
        else:
            text = f"v{operation}({', '.join(texts)})"
        return self._name((text, value.dtype), text, value.dtype, level, vector, width)

    def cast(self, name: Name, dtype: torch.dtype) -> Name:
        """The number in another type."""
        if name.dtype == dtype:
            return name
        if not name.vector:
            text = f"({ctype(dtype)}){name.text}" if dtype != torch.bool else f"{name.text} != 0"
            return self._name((text,), text, dtype, name.level, False)
        if dtype == torch.bool:
            width = name.dtype.itemsize
            text = f"({self._mask(width)})({name.text} != 0)"
            return self._name((text,), text, dtype, name.level, True, width)
        source = f"({name.text} & 1)" if name.dtype == torch.bool else name.text
        text = f"__builtin_convertvector({source}, {self.vector_type(dtype)})"
        return self._name((text,), text, dtype, name.level, True)

    def _wide(self, mask: Name, width: int) -> Name:
        """A mask with lanes of so many bytes."""
        if mask.dtype != torch.bool or mask.width == width:
            return mask
        text = f"__builtin_convertvector({mask.text}, {self._mask(width)})"
        return self._name((text,), text, mask.dtype, mask.level, True, width)

    def spread(self, name: Name) -> Name:
        """The same number in every lane."""
        if name.vector:
            return name
        if name.dtype == torch.bool:
            kind = self._mask(self._width)
            text = f"splat<{kind}>(-(int){name.text})"
            return self._name((text,), text, name.dtype, name.level, True, self._width)
        text = f"splat<{self.vector_type(name.dtype)}>({name.text})"
        return self._name((text,), text, name.dtype, name.level, True)

    def _position(self, axis: int) -> Name:
        if axis != self.nest.vector:
            return Name(f"i{axis}", torch.int64, axis + 1, False)
        text = f"counting<{self.vector_type(torch.int64)}>(i{axis})"
        return self._name((text,), text, torch.int64, axis + 1, True)

    def _name(self, key: object, text: str, dtype: torch.dtype, level: int, vector: bool, width: int = 0) -> Name:
        """Give what a text computes a name, inside as few loops as possible."""
        if key in self.known[level]:
            return self.known[level][key]
        self._count += 1
        made = Name(f"x{self._count}", dtype, level, vector, width if dtype == torch.bool else 0)
        self.lines[level].append(f"const {self.type(made)} {made.text} = {text};")
        self.known[level][key] = made
        return made

    def type(self, name: Name) -> str:
        """The C++ type of a name."""
        if not name.vector:
            return ctype(name.dtype)
        return self._mask(name.width) if name.dtype == torch.bool else self.vector_type(name.dtype)

    def vector_type(self, dtype: torch.dtype) -> str:
        """The C++ type of a vector of numbers."""
        return f"{TYPES[dtype][1]}x{self.lanes}"

    def _mask(self, width: int) -> str:
        return f"i{8 * width}x{self.lanes}"


def key_of(slot: Slot) -> tuple[object, ...]:
    """What distinguishes the elements of a slot from others."""
    return slot.storage, slot.offset, slot.stride, slot.dtype


def number_text(value: float, dtype: torch.dtype) -> str:
    """A number in C++."""
    if dtype == torch.bool:
        return str(bool(value)).lower()
    if dtype.is_floating_point and not math.isfinite(value):
        text = '__builtin_nan("")' if math.isnan(value) else f"{'-' if value < 0 else ''}__builtin_inf()"
    else:
        text = repr(float(value)) if dtype.is_floating_point else f"INT64_C({int(value)})"
    return f"({ctype(dtype)}){text}" if not text.startswith("-") else f"({ctype(dtype)})({text})"


def _lanes(nest: Nest, vector_bytes: int) -> tuple[int, int]:
    """The numbers in a vector, and the bytes of a lane of a mask that was read."""
    types = {store.slot.dtype for store in nest.stores}
    differing: dict[int, bool] = {}

    def differs(value: Value) -> bool:
        """Whether the value differs from lane to lane."""
        if id(value) not in differing:
            parts = [differs(part) for part in value.parts]
            here = value.operation == "position" and value.number == nest.vector
            along = value.slot is not None and value.slot.stride[nest.vector] != 0
            differing[id(value)] = any(parts) or here or along
            types.update({value.dtype} if differing[id(value)] else ())
        return differing[id(value)]

    if nest.vector < 0:
        return 1, 1
    for store in nest.stores:
        differs(store.value)
    width = max(dtype.itemsize for dtype in types)
    lanes, least = min(MOST_LANES, max(2, vector_bytes // width)), 2 if torch.float32 not in types else 4
    while lanes // 2 >= max(nest.space[nest.vector], least):
        lanes //= 2
    return lanes, width
