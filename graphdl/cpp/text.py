"""A loop nest in C++: whole vectors, then what remains of the row; choices by masks; sums in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from graphdl.cpp.loops import Nest, Store
from graphdl.cpp.values import COMPARISONS, TYPES, Value, ctype
from graphdl.execution.tape import Slot

MOST_LANES = 16
LONG_SUM = 64
"""Elements that a lane adds up before they go into a sum of such sums: rounding errors stay small."""
IDENTITY = {"Sum": "0", "Product": "1", "Largest": "-__builtin_inf()", "Smallest": "__builtin_inf()"}
INTEGER_IDENTITY = {"Largest": "INT64_MIN", "Smallest": "INT64_MAX"}


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


class NestText:
    """Writes the function of a nest.

    pointers  the beginnings of what it works on, in the order of its parameters
    text      parameters and body
    """

    def __init__(self, nest: Nest, vector_bytes: int) -> None:
        self.nest, self.depth = nest, len(nest.space)
        self.pointers: list[Slot] = []
        self._mode, self._count = "", 0
        self.lanes, self.width = _lanes(nest, vector_bytes)
        self._lines: list[list[str]] = [[] for _ in range(self.depth + 1)]
        self._known: list[dict[object, Name]] = [{} for _ in range(self.depth + 1)]
        self.text = self._function()

    # The loops

    def _function(self) -> str:
        v = self.nest.vector
        if v < 0:
            lines = self._body()
        else:
            n = self.nest.space[v]
            whole = n // self.lanes * self.lanes
            lines = []
            for mode, first in (("full", 0), ("part", whole)):
                if (whole if mode == "full" else n - whole) == 0:
                    continue
                self._enter(mode, v)
                inner = self._around(self._body(), self.depth, v + 1)
                step = f"i{v} < {whole}; i{v} += {self.lanes}" if mode == "full" else ""
                head = f"for (int64_t i{v} = 0; {step})" if step else f"{{ const int64_t i{v} = {first};"
                lines += [head, "{" if step else "", *inner, "}"]
            lines = self._around(lines, v, 0)
        parameters = ", ".join(f"{ctype(slot.dtype)}* p{k}" for k, slot in enumerate(self.pointers))
        return "\n".join([f"({parameters}) {{", *filter(None, lines), "}"])

    def _enter(self, mode: str, v: int) -> None:
        self._mode = mode
        for level in range(v + 1, self.depth + 1):
            self._lines[level], self._known[level] = [], {}

    def _around(self, lines: list[str], level: int, last: int) -> list[str]:
        """What is inside so many loops, with the loops around it down to those inside `last`."""
        while True:
            if level < self.depth:
                starts, ends = self._sums(level)
                lines = [*self._lines[level], *starts, *lines, *ends]
            if level == last:
                return lines
            level -= 1
            lines = [f"for (int64_t i{level} = 0; i{level} < {self.nest.space[level]}; i{level}++) {{", *lines, "}"]

    def _body(self) -> list[str]:
        """What is done at one index, or at those of one vector."""
        ends: dict[tuple[object, ...], str] = {}
        for position, store in enumerate(self.nest.stores):
            value = self._cast(self._value(store.value), store.slot.dtype)
            if store.take:
                self._take(position, store, value)
                continue
            name = self._spread(value) if self.nest.vector >= 0 else value
            key = _place(store.slot)
            for known in self._known:
                known.pop(key, None)
            self._known[self.depth][key] = name
            if store.kept:
                ends[key] = self._save(store.slot, name)
        return [*self._lines[self.depth], *ends.values()]

    # Sums

    def _take(self, position: int, store: Store, value: Name) -> None:
        value = self._spread(value)
        text = value.text
        lines = self._lines[self.depth]
        if self._mode == "part" and self.nest.summed(store) <= self.nest.vector:
            rest = self.nest.space[self.nest.vector] % self.lanes
            text = f"only<{self._type(value)}, {rest}>({text}, {_identity(store)})"
        lines.append(f"s{position} = {store.take}::of({text}, s{position});")
        if self._is_long(store):
            more = f"t{position} = {store.take}::of(t{position}, s{position}); s{position} = z{position};"
            lines.append(f"if (++n{position} == {LONG_SUM}) {{ {more} n{position} = 0; }}")

    def _is_long(self, store: Store) -> bool:
        first = self.nest.summed(store)
        count = math.prod(self.nest.space[first:])
        return store.take == "Sum" and count > 2 * LONG_SUM * (self.lanes if first <= self.nest.vector else 1)

    def _sums(self, level: int) -> tuple[list[str], list[str]]:
        """How the sums inside so many loops begin, and how they end."""
        starts, ends = [], []
        for k, store in enumerate(self.nest.stores):
            if not store.take or self.nest.summed(store) != level:
                continue
            dtype = store.slot.dtype
            kind = self._vector_type(dtype)
            start = f"splat<{kind}>({_identity(store)})"
            starts.append(f"{kind} s{k} = {start};")
            result = f"s{k}"
            if self._is_long(store):
                starts.append(f"{kind} t{k} = s{k}; const {kind} z{k} = s{k}; int n{k} = 0;")
                result = f"{store.take}::of(t{k}, s{k})"
            across = level <= self.nest.vector
            if across:
                result, kind = f"together<{store.take}>({result})", ctype(dtype)
            if store.divisor != 1:
                result = f"{result} / ({ctype(dtype)}){store.divisor!r}"
            if across:
                ends.append(f"{self._pointer(store.slot)}[{self._index(store.slot)}] = {result};")
            else:
                ends.append(self._save(store.slot, Name(f"({kind})({result})", dtype, level, True)))
        return starts, ends

    # Memory

    def _pointer(self, slot: Slot) -> str:
        start = Slot(slot.storage, slot.offset, (), (), slot.dtype)
        if start not in self.pointers:
            self.pointers.append(start)
        return f"p{self.pointers.index(start)}"

    def _index(self, slot: Slot, without_vector: bool = False) -> str:
        terms = [f"i{k}" if s == 1 else f"i{k} * {s}" for k, s in enumerate(slot.stride) if s]
        return " + ".join(terms) or "0"

    def _rest(self) -> int:
        """The lanes in use."""
        return self.nest.space[self.nest.vector] % self.lanes if self._mode == "part" else self.lanes

    def _save(self, slot: Slot, name: Name) -> str:
        place = f"{self._pointer(slot)} + {self._index(slot)}"
        if not name.vector:
            return f"*({place}) = {name.text};"
        text, kind = name.text, self._type(name)
        if slot.dtype == torch.bool:
            kind = f"u8x{self.lanes}"
            text = f"__builtin_convertvector({text} & 1, {kind})"
        stride = slot.stride[self.nest.vector]
        if stride != 1:
            place = f"(uint8_t*)({place})" if slot.dtype == torch.bool else place
            return f"save_apart<{kind}, {self._rest()}>({place}, {stride}, {text});"
        return (
            f"save<{kind}>({place}, {text});"
            if self._mode == "full"
            else (f"save_part<{kind}, {self._rest()}>({place}, {text});")
        )

    def _read(self, slot: Slot) -> Name:
        key, v = _place(slot), self.nest.vector
        for known in self._known:
            if key in known:
                return known[key]
        level = max((k + 1 for k, s in enumerate(slot.stride) if s), default=0)
        place = f"{self._pointer(slot)} + {self._index(slot)}"
        if v < 0 or not slot.stride[v]:
            return self._name(key, f"*({place})", slot.dtype, level, False)
        kind = f"{TYPES[slot.dtype][1]}x{self.lanes}"
        place = f"(const uint8_t*)({place})" if slot.dtype == torch.bool else place
        if slot.stride[v] != 1:
            text = f"load_apart<{kind}, {self._rest()}>({place}, {slot.stride[v]})"
        else:
            text = f"load<{kind}>({place})" if self._mode == "full" else f"load_part<{kind}, {self._rest()}>({place})"
        if slot.dtype == torch.bool:
            text = f"__builtin_convertvector({text}, {self._mask(self.width)}) != 0"
        return self._name(key, text, slot.dtype, level, True, self.width)

    def _lookup(self, value: Value) -> Name:
        """Element for element where the index differs from lane to lane, else as a read."""
        index, slot, v = self._value(value.parts[0]), value.slot, self.nest.vector
        assert slot is not None
        level = max([index.level, *(k + 1 for k, s in enumerate(slot.stride) if s)])
        stride = slot.stride[v] if v >= 0 else 0
        terms = [f"i{k} * {s}" for k, s in enumerate(slot.stride) if s]
        along = int(value.number)
        if not index.vector:
            terms.append(f"{index.text} * {along}")
        place = " + ".join([self._pointer(slot), *terms])
        if not index.vector and not stride:
            return self._name((place,), f"*({place})", slot.dtype, level, False)
        bits = slot.dtype == torch.bool
        kind, start = f"{TYPES[slot.dtype][1]}x{self.lanes}", f"(const uint8_t*)({place})" if bits else place
        if index.vector:
            text = f"look_up<{kind}, {self._rest()}>({start}, {stride}, {index.text}, {along})"
        elif stride == 1:
            text = f"load_part<{kind}, {self._rest()}>({start})" if self._mode == "part" else f"load<{kind}>({start})"
        else:
            text = f"load_apart<{kind}, {self._rest()}>({start}, {stride})"
        if bits:
            text = f"__builtin_convertvector({text}, {self._mask(self.width)}) != 0"
        return self._name((text,), text, slot.dtype, level, True, self.width)

    # Values

    def _value(self, value: Value) -> Name:
        if value.operation == "read":
            assert value.slot is not None
            return self._read(value.slot)
        if value.operation == "lookup":
            return self._lookup(value)
        if value.operation == "number":
            text = _number(value.number, value.dtype)
            return Name(text, value.dtype, 0, False)
        if value.operation == "position":
            return self._position(int(value.number))
        parts = [self._value(part) for part in value.parts]
        if value.operation == "cast":
            return self._cast(parts[0], value.dtype)
        vector = any(part.vector for part in parts)
        if vector:
            parts = [self._spread(part) for part in parts]
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

    def _cast(self, name: Name, dtype: torch.dtype) -> Name:
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
        text = f"__builtin_convertvector({source}, {self._vector_type(dtype)})"
        return self._name((text,), text, dtype, name.level, True)

    def _wide(self, mask: Name, width: int) -> Name:
        """A mask with lanes of so many bytes."""
        if mask.dtype != torch.bool or mask.width == width:
            return mask
        text = f"__builtin_convertvector({mask.text}, {self._mask(width)})"
        return self._name((text,), text, mask.dtype, mask.level, True, width)

    def _spread(self, name: Name) -> Name:
        """The same number in every lane."""
        if name.vector:
            return name
        if name.dtype == torch.bool:
            kind = self._mask(self.width)
            text = f"splat<{kind}>(-(int){name.text})"
            return self._name((text,), text, name.dtype, name.level, True, self.width)
        text = f"splat<{self._vector_type(name.dtype)}>({name.text})"
        return self._name((text,), text, name.dtype, name.level, True)

    def _position(self, axis: int) -> Name:
        if axis != self.nest.vector:
            return Name(f"i{axis}", torch.int64, axis + 1, False)
        text = f"counting<{self._vector_type(torch.int64)}>(i{axis})"
        return self._name((text,), text, torch.int64, axis + 1, True)

    def _name(self, key: object, text: str, dtype: torch.dtype, level: int, vector: bool, width: int = 0) -> Name:
        """Give what a text computes a name, inside as few loops as possible."""
        if key in self._known[level]:
            return self._known[level][key]
        self._count += 1
        made = Name(f"x{self._count}", dtype, level, vector, width if dtype == torch.bool else 0)
        self._lines[level].append(f"const {self._type(made)} {made.text} = {text};")
        self._known[level][key] = made
        return made

    def _type(self, name: Name) -> str:
        if not name.vector:
            return ctype(name.dtype)
        return self._mask(name.width) if name.dtype == torch.bool else self._vector_type(name.dtype)

    def _vector_type(self, dtype: torch.dtype) -> str:
        return f"{TYPES[dtype][1]}x{self.lanes}"

    def _mask(self, width: int) -> str:
        return f"i{8 * width}x{self.lanes}"


def _place(slot: Slot) -> tuple[object, ...]:
    return slot.storage, slot.offset, slot.stride, slot.dtype


def _identity(store: Store) -> str:
    if not store.slot.dtype.is_floating_point and store.take in INTEGER_IDENTITY:
        return INTEGER_IDENTITY[store.take]
    return IDENTITY[store.take]


def _number(value: float, dtype: torch.dtype) -> str:
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
