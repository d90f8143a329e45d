"""A loop nest in C++: whole vectors, then what remains of the row; choices by masks; sums in a fixed order."""

from __future__ import annotations

import math

from graphdl.cpp.elements import Elements, Name, key_of
from graphdl.cpp.loops import Nest, Store
from graphdl.cpp.values import ctype

LONG_SUM = 64
"""Elements that a lane adds up before they go into a sum of such sums: rounding errors stay small."""
IDENTITY = {"Sum": "0", "Product": "1", "Largest": "-__builtin_inf()", "Smallest": "__builtin_inf()"}
INTEGER_IDENTITY = {"Largest": "INT64_MIN", "Smallest": "INT64_MAX"}


class NestText:
    """Writes the function of a nest.

    pointers  the beginnings of what it works on, in the order of its parameters
    text      parameters and body
    """

    def __init__(self, nest: Nest, vector_bytes: int) -> None:
        self.nest, self.depth = nest, len(nest.space)
        self._elements = Elements(nest, vector_bytes)
        self.pointers = self._elements.pointers
        self.text = self._function()

    # The loops

    def _function(self) -> str:
        v = self.nest.vector
        if v < 0:
            lines = self._body()
        else:
            n = self.nest.space[v]
            whole = n // self._elements.lanes * self._elements.lanes
            lines = []
            for part, first, count in ((False, 0, whole), (True, whole, n - whole)):
                if not count:
                    continue
                self._elements.enter(part)
                inner = self._around(self._body(), self.depth, v + 1)
                step = f"for (int64_t i{v} = 0; i{v} < {whole}; i{v} += {self._elements.lanes}) {{"
                lines += [f"{{ const int64_t i{v} = {first};" if part else step, *inner, "}"]
            lines = self._around(lines, v, 0)
        parameters = ", ".join(f"{ctype(slot.dtype)}* p{k}" for k, slot in enumerate(self.pointers))
        return "\n".join([f"({parameters}) {{", *filter(None, lines), "}"])

    def _around(self, lines: list[str], level: int, last: int) -> list[str]:
        """What is inside so many loops, with the loops around it down to those inside `last`."""
        while True:
            if level < self.depth:
                starts, ends = self._sums(level)
                lines = [*self._elements.lines[level], *starts, *lines, *ends]
            if level == last:
                return lines
            level -= 1
            lines = [f"for (int64_t i{level} = 0; i{level} < {self.nest.space[level]}; i{level}++) {{", *lines, "}"]

    def _body(self) -> list[str]:
        """What is done at one index, or at those of one vector."""
        ends: dict[tuple[object, ...], str] = {}
        for position, store in enumerate(self.nest.stores):
            value = self._elements.cast(self._elements.value(store.value), store.slot.dtype)
            if store.take:
                self._take(position, store, value)
                continue
            name = self._elements.spread(value) if self.nest.vector >= 0 else value
            key = key_of(store.slot)
            for known in self._elements.known:
                known.pop(key, None)
            self._elements.known[self.depth][key] = name
            if store.kept:
                ends[key] = self._elements.save(store.slot, name)
        return [*self._elements.lines[self.depth], *ends.values()]

    # Sums

    def _take(self, position: int, store: Store, value: Name) -> None:
        value = self._elements.spread(value)
        text = value.text
        lines = self._elements.lines[self.depth]
        if self._elements.part and self.nest.summed(store) <= self.nest.vector:
            rest = self.nest.space[self.nest.vector] % self._elements.lanes
            text = f"only<{self._elements.type(value)}, {rest}>({text}, {_identity(store)})"
        lines.append(f"s{position} = {store.take}::of({text}, s{position});")
        if self._is_long(store):
            more = f"t{position} = {store.take}::of(t{position}, s{position}); s{position} = z{position};"
            lines.append(f"if (++n{position} == {LONG_SUM}) {{ {more} n{position} = 0; }}")

    def _is_long(self, store: Store) -> bool:
        first = self.nest.summed(store)
        count = math.prod(self.nest.space[first:])
        return store.take == "Sum" and count > 2 * LONG_SUM * (self._elements.lanes if first <= self.nest.vector else 1)

    def _sums(self, level: int) -> tuple[list[str], list[str]]:
        """How the sums inside so many loops begin, and how they end."""
        starts, ends = [], []
        for k, store in enumerate(self.nest.stores):
            if not store.take or self.nest.summed(store) != level:
                continue
            dtype = store.slot.dtype
            kind = self._elements.vector_type(dtype)
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
                ends.append(f"*({self._elements.place(store.slot)}) = {result};")
            else:
                ends.append(self._elements.save(store.slot, Name(f"({kind})({result})", dtype, level, True)))
        return starts, ends


def _identity(store: Store) -> str:
    if not store.slot.dtype.is_floating_point and store.take in INTEGER_IDENTITY:
        return INTEGER_IDENTITY[store.take]
    return IDENTITY[store.take]
