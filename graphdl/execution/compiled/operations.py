"""The functions of torch that are more than element by element, and how each is written."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Node

from graphdl.errors import CompileError
from graphdl.execution.compiled.products import PRODUCTS
from graphdl.execution.compiled.reductions import REDUCTIONS
from graphdl.execution.compiled.values import (
    Buffer,
    Constant,
    Index,
    Lazy,
    Loop,
    Value,
    aligned,
    loop_head,
    number,
)
from graphdl.execution.compiled.writer import Operation, Writer, packet_of

aten = torch.ops.aten


def view(writer: Writer, node: Node, arguments: list[Any]) -> Any:
    """The same numbers in another shape or order."""
    source, *rest = arguments
    packet = RENAMED.get(packet_of(node), packet_of(node))
    if isinstance(source, Constant) and isinstance(node.meta["val"], torch.Tensor):
        return Constant(tuple(node.meta["val"].shape), source.dtype, source.value)
    held = writer.realize(source)
    try:
        return held.view(packet, *rest, **node.kwargs)
    except RuntimeError:  # it has gaps
        copy = writer.new(held.shape, held.dtype)
        writer.store(held, copy)
        return copy.view(packet, *rest, **node.kwargs)


def same(writer: Writer, node: Node, arguments: list[Any]) -> Any:
    """A copy: values never change, so it is the original."""
    return arguments[0]


def full(writer: Writer, node: Node, arguments: list[Any]) -> Constant:
    """One number in every place."""
    packet = packet_of(node)
    given = {aten.zeros_like: 0, aten.ones_like: 1, aten.scalar_tensor: arguments[0]}
    value = given[packet] if packet in given else arguments[1]
    return Constant(tuple(node.meta["val"].shape), node.meta["val"].dtype, value)


def pick(writer: Writer, node: Node, arguments: list[Any]) -> Any:
    """An element of several results."""
    return arguments[0][arguments[1]]


def copy(writer: Writer, node: Node, arguments: list[Any]) -> Any:
    """A buffer's new value, from here on."""
    written, source = node.args[0], arguments[1]
    if not isinstance(written, Node) or source.shape != tuple(node.meta["val"].shape):
        raise CompileError("a tensor that is written into in part")
    writer.values[written] = source
    return source


def join(writer: Writer, node: Node, arguments: list[Any]) -> Buffer:
    """Tensors side by side."""
    parts, axis = arguments[0], (arguments[1] if len(arguments) > 1 else 0) % node.meta["val"].dim()
    out, start = writer.place(node), 0
    for part in parts:
        size = part.shape[axis]
        zero = isinstance(part, Constant) and not part.value and node in writer.placed
        there = isinstance(part, Buffer) and (part.name, part.offset) == (out.name, out.offset + start)
        if not zero and not (there and node in writer.placed):  # memory is 0 at first
            writer.store(part, out.view(aten.slice, axis, start, start + size))
        start += size
    return out


def check_indices(writer: Writer, index: Value, size: int) -> None:
    """Stop before a step whose indices lead out of the axis: it is left to the operators, which explain it."""
    held = writer.realize(index)
    names = tuple(f"i{axis}" for axis in range(len(held.shape)))
    loop = Loop([loop_head(i, n) for i, n in zip(names, held.shape, strict=True)])
    loop.lines.append(f"wrong |= (uint64_t){held.at(loop, names)} >= {size};")
    writer.statements.append(f"{{ bool wrong = false;\n{loop.text}\nif (wrong) return step; }}")


def gather(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """The elements at given places along an axis."""
    source, axis, index = writer.realize(arguments[0]), arguments[1], writer.realize(arguments[2])
    axis %= len(source.shape)
    check_indices(writer, index, source.shape[axis])

    def element(loop: Loop, place: Index) -> str:
        return source.at(loop, (*place[:axis], index.at(loop, place), *place[axis + 1 :]))

    shape = tuple(node.meta["val"].shape)
    return writer.settle(node, Lazy(shape, source.dtype, [source, index], element))


def scatter(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """A number at one place along an axis, and elsewhere what was there."""
    source, axis, index, value = arguments
    if node.target is not aten.scatter.value or index.shape[axis] != 1:
        raise CompileError(f"{node.target} has no form in C++ here")
    held = writer.realize(index)
    axis %= len(source.shape)
    check_indices(writer, held, source.shape[axis])
    text = number(value, node.meta["val"].dtype)

    def element(loop: Loop, place: Index) -> str:
        chosen = held.at(loop, (*place[:axis], "0", *place[axis + 1 :]))
        return f"{place[axis]} == {chosen} ? {text} : {source.at(loop, aligned(place, source))}"

    shape = tuple(node.meta["val"].shape)
    return writer.settle(node, Lazy(shape, source.dtype, [source, held], element))


def embedding(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """Rows of a table."""
    table, index = writer.realize(arguments[0]), writer.realize(arguments[1])
    check_indices(writer, index, table.shape[0])

    def element(loop: Loop, place: Index) -> str:
        return table.at(loop, (index.at(loop, place[:-1]), place[-1]))

    shape = tuple(node.meta["val"].shape)
    return writer.settle(node, Lazy(shape, table.dtype, [table, index], element))


def embedding_backward(writer: Writer, node: Node, arguments: list[Any]) -> Buffer:
    """dweight[k] = the sum of dy where x = k, but 0 at the padding."""
    dy, index, _, padding, by_frequency = arguments
    if by_frequency:
        raise CompileError("Embedding with scale_grad_by_freq has no form in C++ here")
    dy, index, out = writer.realize(dy), writer.realize(index), writer.place(node)
    writer.store(Constant(out.shape, out.dtype, 0.0), out)
    names = tuple(f"i{axis}" for axis in range(len(dy.shape)))
    loop = Loop([loop_head(i, n) for i, n in zip(names, dy.shape, strict=True)])
    row = index.at(loop, names[:-1])
    loop.lines.append(f"if ({row} != {padding}) {out.at(loop, (row, names[-1]))} += {dy.at(loop, names)};")
    writer.statements.append(loop.text)
    return out


def arange(writer: Writer, node: Node, arguments: list[Any]) -> Value:
    """Numbers in equal steps."""
    start, step = (arguments[0], [*arguments, 1][2]) if len(arguments) > 1 else (0, 1)
    dtype = node.meta["val"].dtype
    values = Lazy(tuple(node.meta["val"].shape), dtype, [], lambda loop, place: f"{place[0]} * {step} + {start}")
    return writer.settle(node, values)


RENAMED = {aten._unsafe_view: aten.view, aten.reshape: aten.view, aten.squeeze_: aten.squeeze}
VIEWS = (
    "view", "_unsafe_view", "reshape", "expand", "permute", "t", "transpose", "unsqueeze", "squeeze", "squeeze_",
    "slice", "select", "split", "split_with_sizes", "unbind", "diagonal", "as_strided",
)  # fmt: skip

OPERATIONS: dict[Any, Operation] = {
    **{getattr(aten, name): view for name in VIEWS},
    **dict.fromkeys((aten.clone, aten.alias, aten.detach, aten.lift_fresh_copy), same),
    **dict.fromkeys((aten.full, aten.full_like, aten.zeros_like, aten.ones_like, aten.scalar_tensor), full),
    **REDUCTIONS,
    **PRODUCTS,
    operator.getitem: pick,
    aten.copy_: copy,
    aten.cat: join,
    aten.gather: gather,
    aten.scatter: scatter,
    aten.embedding: embedding,
    aten.embedding_dense_backward: embedding_backward,
    aten.arange: arange,
}
