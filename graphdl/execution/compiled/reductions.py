"""Sums, means and extremes along axes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Node

from graphdl.execution.compiled.values import FLAT, Buffer, Constant, Lazy, Loop, Value, ctype, loop_head
from graphdl.execution.compiled.writer import IVDEP, Writer, packet_of

aten = torch.ops.aten

ON_STACK = 1024
"""Elements up to which a row of sums is a variable of its own, which may stay in registers."""
ADD = ("0", "{0} += {1};")
GATHERED = {
    aten.sum: ADD,
    aten.mean: ADD,
    aten.amax: ("-INFINITY", "{0} = {1} > {0} || {1} != {1} ? {1} : {0};"),
    aten.amin: ("INFINITY", "{0} = {1} < {0} || {1} != {1} ? {1} : {0};"),
}
"""Function -> where it starts, and how it takes an element in."""
ROW_BY_ROW = 'asm volatile("" ::: "memory");'
"""Says nothing to the processor, and keeps g++ from turning the loops over rows and columns around: it gets sums of
`condition ? 0 : x` wrong there, as g++ 12 does for most widths below 16."""


def reduce(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """A sum, a mean or an extreme along axes."""
    source, *rest = arguments
    rank = len(source.shape)
    given = rest[0] if rest else None
    chosen = [given] if isinstance(given, int) else list(given or range(rank))
    out = writer.place(node)
    gather_along(writer, source, sorted(axis % rank for axis in chosen), out, packet_of(node))
    return out


def gather_along(writer: Writer, source: Value, axes: list[int], out: Buffer, packet: Any) -> None:
    """Reduce along axes, in the order in which the source lies in memory."""
    rank, t = len(source.shape), ctype(out.dtype)
    kept = [axis for axis in range(rank) if axis not in axes]
    index = tuple(f"i{axis}" for axis in range(rank))
    same_rank = len(out.shape) == rank
    place = out.at(Loop([]), tuple("0" if a in axes else index[a] for a in range(rank) if same_rank or a in kept))
    start, take = GATHERED[packet]
    count = math.prod(source.shape[axis] for axis in axes)
    scale = f" * ({t})({1 / count!r})" if packet is aten.mean else ""

    def heads(chosen: list[int]) -> list[str]:
        return [loop_head(index[axis], source.shape[axis]) for axis in chosen]

    if source.flat and not kept:
        loop = Loop([loop_head("i", source.size)], source.size)
        loop.lines.append(take.format("a", source.at(loop, FLAT)))
        writer.statements.append(f"{{ {t} a = {start};\n{loop.text}\n{place} = a{scale}; }}")
    elif kept and kept[-1] == rank - 1:  # rows are added to a row
        last, width = index[-1], source.shape[-1]
        row = "row" if width <= ON_STACK else writer.new([width], out.dtype).name
        loop = Loop([IVDEP, *heads(kept[-1:])])
        element = source.at(loop, index)
        loop.lines.append(take.format(f"{row}[{last}]", element))
        along = "\n".join(heads(kept[-1:]))
        declared = f"{t} row[{width}];" if width <= ON_STACK else ""
        text = [*heads(kept[:-1]), "{", declared, f"{along} {row}[{last}] = {start};"]
        text += [*heads(axes), "{", ROW_BY_ROW, loop.text, "}", f"{along} {place} = {row}[{last}]{scale};", "}"]
        writer.statements.append("\n".join(text))
    else:
        loop = Loop(heads(axes))
        loop.lines.append(take.format("a", source.at(loop, index)))
        text = [*heads(kept), f"{{ {t} a = {start};", loop.text, f"{place} = a{scale}; }}"]
        writer.statements.append("\n".join(text))


def multiply_vector(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """Matrix times vector; of ones, as a bias's gradient is: the sum of the columns."""
    matrix, vector = arguments
    out = writer.place(node)
    source: Value = matrix.view(aten.t) if isinstance(matrix, Buffer) else writer.realize(matrix).view(aten.t)
    if not (isinstance(vector, Constant) and vector.value == 1):
        rows, held = source, vector

        def element(loop: Loop, index: Any) -> str:
            return f"{rows.at(loop, index)} * {held.at(loop, FLAT if index is FLAT else index[:1])}"

        source = Lazy(rows.shape, out.dtype, [rows, held], element)
    gather_along(writer, source, [0], out, aten.sum)
    return out


def dot(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """The sum of the products of two vectors."""
    a, b = arguments
    out = writer.place(node)
    product = Lazy(a.shape, out.dtype, [a, b], lambda loop, i: f"{a.at(loop, i)} * {b.at(loop, i)}", pointwise=True)
    gather_along(writer, product, [0], out, aten.sum)
    return out


REDUCTIONS = dict.fromkeys(GATHERED, reduce) | {aten.mv: multiply_vector, aten.dot: dot}
