"""Functions of torch that put elements elsewhere: joining, padding, picking by indices, filling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from graphdl.cpp.elements import number_text
from graphdl.cpp.kernels import results, seen
from graphdl.cpp.values import Value, cast, choose, ctype, lookup, number, position
from graphdl.cpp.writer import Address, Writer, arguments
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot


def nothing(writer: Writer, made: Call) -> None:
    """Memory whose content does not matter yet, or another view of it."""


def filled(value: float | str) -> Callable[[Writer, Call], None]:
    """One number in every place; "name": the argument of that name."""

    def written(writer: Writer, made: Call) -> None:
        (out,) = results(writer, made)
        writer.store(out, number(fill_value(made, value), out.dtype))

    return written


def fill_value(made: Call, value: float | str) -> float:
    """The number that a call fills its result with."""
    if isinstance(value, str):
        names = [argument.name for argument in made.function._schema.arguments]
        value = (dict(zip(names, made.args, strict=False)) | dict(made.kwargs))[value]
    if not isinstance(value, (bool, int, float)):
        raise CompileError("a fill by something else than a number has no form in C++ here")
    return value


def section(slot: Slot, axis: int, start: int, size: int) -> Slot:
    """The part of a tensor from an index on along an axis."""
    shape = (*slot.shape[:axis], size, *slot.shape[axis + 1 :])
    return replace(slot, offset=slot.offset + start * slot.stride[axis], shape=shape)


def join(writer: Writer, made: Call) -> None:
    """Tensors side by side."""
    given, (out,) = arguments(made, writer), results(writer, made)
    axis, start = given["dim"] % max(len(out.shape), 1), 0
    for part in given["tensors"]:
        if len(part.shape) == 1 and not part.size and len(out.shape) > 1:
            continue
        writer.store(section(out, axis, start, part.shape[axis]), writer.read(part))
        start += part.shape[axis]


def stack(writer: Writer, made: Call) -> None:
    """Tensors side by side along a new axis."""
    given, (out,) = arguments(made, writer), results(writer, made)
    axis = given["dim"] % len(out.shape)
    for k, part in enumerate(given["tensors"]):
        writer.store(without(section(out, axis, k, 1), axis), writer.read(part))


def without(slot: Slot, axis: int) -> Slot:
    """The tensor without an axis of size 1."""
    shape, stride = (each[:axis] + each[axis + 1 :] for each in (slot.shape, slot.stride))
    return replace(slot, shape=shape, stride=stride)


def pad(writer: Writer, made: Call) -> None:
    """The tensor with a border of one number; negative widths cut."""
    given, (out,) = arguments(made, writer), results(writer, made)
    x = given["self"]
    inner, widths = out, given["pad"]
    for k in range(len(widths) // 2):
        axis, (before, after) = len(x.shape) - 1 - k, widths[2 * k : 2 * k + 2]
        kept = x.shape[axis] + min(before, 0) + min(after, 0)
        x = section(x, axis, max(-before, 0), kept)
        inner = section(inner, axis, max(before, 0), kept)
    if inner.shape != out.shape:
        writer.store(out, number(given["value"], out.dtype))
    writer.store(inner, writer.read(x))


def slice_backward(writer: Writer, made: Call) -> None:
    """0, and the gradient where the slice was."""
    given, (out,) = arguments(made, writer), results(writer, made)
    writer.store(out, number(0, out.dtype))
    axis = given["dim"] % len(out.shape)
    if made.name == "select_backward":
        dy = given["grad_output"]
        chosen = section(out, axis, given["index"] % out.shape[axis], 1)
        return writer.store(without(chosen, axis), writer.read(dy))
    first, _, _ = slice(given["start"], given["end"], None).indices(out.shape[axis])
    chosen = section(out, axis, first, given["grad_output"].shape[axis])
    stride = list(out.stride)
    stride[axis] *= given["step"]
    writer.store(replace(chosen, stride=tuple(stride)), writer.read(given["grad_output"]))


def embedding(writer: Writer, made: Call) -> None:
    """Rows of a table."""
    given, (out,) = arguments(made, writer), results(writer, made)
    table = given["weight"]
    index = writer.check(given["indices"], table.shape[0])
    rows = seen(out, (index.size, table.shape[1]))
    writer.store(rows, lookup(table, 0, writer.read(seen(index, (index.size, 1)))))


def loops(shape: tuple[int, ...], line: str) -> str:
    """Loops over a shape around a line."""
    heads = "".join(f"for (int64_t i{k} = 0; i{k} < {n}; i{k}++) " for k, n in enumerate(shape))
    return f"{heads}{{ {line} }}"


def element(at: Address, slot: Slot, along: int = -1, place: str = "") -> str:
    """The element at the index of loops; along one axis at another place."""
    terms = [place if k == along else f"i{k}" for k in range(len(slot.shape))]
    offsets = "".join(f" + {term} * {s}" for term, s in zip(terms, slot.stride, strict=True) if s)
    return f"{at(slot)}[0{offsets}]"


def scatter(writer: Writer, made: Call) -> None:
    """A number, or elements, at given places along an axis, and elsewhere what was there."""
    given, (out,) = arguments(made, writer), results(writer, made)
    if given.get("reduce") is not None:
        raise CompileError(f"{made.function} has no form in C++ here")
    axis, source = given["dim"] % max(len(out.shape), 1), given.get("src")
    adds = made.name.startswith("scatter_add")
    places = writer.check(given["index"], out.shape[axis])
    if not made.name.endswith("_"):
        writer.store(out, writer.read(given["self"]))
    if source is not None and source.storage in (out.storage, *writer.constants):
        copy = writer.new(source.shape, source.dtype)
        writer.store(copy, writer.read(source))
        source = copy

    def text(at: Address) -> str:
        kind = ctype(out.dtype)
        new = number_text(given["value"], out.dtype) if source is None else f"({kind}){element(at, source)}"
        target = element(at, out, axis, f"(int64_t){element(at, places)}")
        return loops(places.shape, f"{target} {'+=' if adds else '='} {new};")

    writer.raw(text, [places, out, *([source] if source is not None else [])], [out])


def embedding_backward(writer: Writer, made: Call) -> None:
    """dweight[k] = the sum of dy where x = k, but 0 at the padding."""
    given, (out,) = arguments(made, writer), results(writer, made)
    if given["scale_grad_by_freq"]:
        raise CompileError("Embedding with scale_grad_by_freq has no form in C++ here")
    places, dy = writer.check(given["indices"], out.shape[0]), writer.plain(given["grad_output"])
    dy, width = seen(dy, (places.size, out.shape[1])), out.shape[1]
    writer.store(out, number(0, out.dtype))

    def text(at: Address) -> str:
        row, kept = f"{at(places)}[i0]", f"{at(places)}[i0] != {given['padding_idx']}"
        line = f"{at(out)}[(int64_t){row} * {out.stride[0]} + i1 * {out.stride[1]}] += {element(at, dy)};"
        return loops((places.size, width), f"if ({kept}) {line}")

    writer.raw(text, [places, dy, out], [out])


def arange(writer: Writer, made: Call) -> None:
    """Numbers in equal steps."""
    given, (out,) = arguments(made, writer), results(writer, made)
    step, start = given.get("step", 1), given.get("start", 0)
    value: Value = cast(position(-1), out.dtype)
    value = value if step == 1 else value * step
    writer.store(out, value if start == 0 else value + start)


def triangle(writer: Writer, made: Call) -> None:
    """The elements on one side of a diagonal, and 0 elsewhere."""
    given, (out,) = arguments(made, writer), results(writer, made)
    distance = position(-1) - position(-2)
    inside = distance >= given["diagonal"] if made.name.startswith("triu") else distance <= given["diagonal"]
    writer.store(out, choose(inside, writer.read(given["self"]), number(0, out.dtype)))


def cumsum(writer: Writer, made: Call) -> None:
    """The sums of all elements up to each, along an axis."""
    given, (out,) = arguments(made, writer), results(writer, made)
    writer.store(out, writer.read(given["self"]))
    if not out.shape or not out.size:
        return
    axis = given["dim"] % len(out.shape)
    later = section(out, axis, 1, out.shape[axis] - 1)

    def text(at: Address) -> str:
        return loops(later.shape, f"{element(at, later)} += {element(at, replace(later, offset=out.offset))};")

    writer.raw(text, [out], [out])


def flip(writer: Writer, made: Call) -> None:
    """The elements in the opposite order along an axis."""
    given, (out,) = arguments(made, writer), results(writer, made)
    if len(given["dims"]) != 1:
        raise CompileError("a flip along other than one axis has no form in C++ here")
    rank = max(len(out.shape), 1)
    axis = given["dims"][0] % rank
    if out.size <= 1:
        return writer.store(out, writer.read(given["self"]))
    writer.store(out, lookup(given["self"], axis, out.shape[axis] - 1 - position(axis - rank)))


def foreach_copy(writer: Writer, made: Call) -> None:
    """Each tensor's elements into another."""
    given: dict[str, Any] = arguments(made, writer)
    for target, source in zip(given["self"], given["src"], strict=True):
        writer.store(target, writer.read(source))


FILLS: dict[str, float | str] = {
    "full": "fill_value", "full_like": "fill_value", "new_full": "fill_value", "scalar_tensor": "s",
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros"), 0.0), **dict.fromkeys(("ones", "ones_like", "new_ones"), 1.0),
}  # fmt: skip
"""Function -> what it fills its result with, or the name of the argument that says so."""

MOVES: dict[str, Callable[[Writer, Call], None]] = {
    **{name: filled(value) for name, value in FILLS.items()},
    **dict.fromkeys(
        ("empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided", "_unsafe_view", "squeeze_", "alias"),
        nothing,
    ),
    "cat": join, "stack": stack, "constant_pad_nd": pad, "slice_backward": slice_backward,
    "select_backward": slice_backward,
    "embedding": embedding, "embedding_dense_backward": embedding_backward,
    **dict.fromkeys(("scatter", "scatter_", "scatter_add", "scatter_add_"), scatter),
    "arange": arange, "triu": triangle, "tril": triangle, "triu_": triangle, "tril_": triangle,
    "cumsum": cumsum, "flip": flip, "_foreach_copy_": foreach_copy,
}  # fmt: skip
