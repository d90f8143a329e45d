"""Small matrix products, by the tiles of products.h, whose sizes are constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from graphdl.cpp.kernels import results
from graphdl.cpp.loops import expanded
from graphdl.cpp.values import ctype, number
from graphdl.cpp.writer import Address, Writer, arguments
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot

LARGE = 4_000_000
"""Operations, multiplications and additions, from which BLAS is faster."""
PADDED = 16  # numbers that rows are padded to: the widest vectors hold so many


NAMES = {"mm": ("", "self", "mat2"), "addmm": ("self", "mat1", "mat2"), "bmm": ("", "self", "mat2"),
         "baddbmm": ("self", "batch1", "batch2")}  # fmt: skip
"""Function -> the names of what is added and of the factors."""


def product(writer: Writer, made: Call) -> None:
    """alpha a b + beta bias; of batches of matrices, too."""
    given, out = arguments(made, writer), results(writer, made)[0]
    bias, a, b = (given.get(name) for name in NAMES[made.name.removesuffix("_")])
    assert isinstance(a, Slot)
    assert isinstance(b, Slot)
    alpha, beta = (given.get(name, 1) for name in ("alpha", "beta"))
    bias = None if beta == 0 else bias
    if out.dtype not in (torch.float32, torch.float64):
        raise CompileError(f"matrix products of {out.dtype} have no form in C++ here")
    if 2 * a.shape[-2] * a.shape[-1] * b.shape[-1] > LARGE:
        raise CompileError("large matrix products have no form in C++ here: BLAS is faster")
    if not out.size:
        return
    if not a.shape[-1] or alpha == 0:
        return writer.store(out, number(0, out.dtype) if bias is None else writer.read(bias) * beta)
    shares = any(slot is not None and slot.storage == out.storage for slot in (a, b, bias))
    into = writer.new(out.shape, out.dtype) if shares else out
    wide = None if bias is None else expanded(bias, out.shape)
    _matrices(writer, batched(a), batched(b), wide if wide is None else batched(wide), batched(into), alpha, beta)
    if shares:
        writer.store(out, writer.read(into))


def batched(slot: Slot) -> Slot:
    """A matrix as a batch of one."""
    return slot if len(slot.shape) == 3 else replace(slot, shape=(1, *slot.shape), stride=(0, *slot.stride))


def _matrices(writer: Writer, a: Any, b: Any, bias: Slot | None, out: Any, alpha: float, beta: float) -> None:
    """out = alpha a b + beta bias, for each of a batch."""
    line = bias is None or (bool(bias.stride[1]) != bool(bias.stride[2]) and alpha == beta == 1)
    if line and alpha == 1:
        return _by_tiles(writer, a, b, bias, out)
    if bias is None:
        _by_tiles(writer, a, b, None, out)
        return writer.store(out, writer.read(out) * alpha)
    ab = batched(writer.new(out.shape, out.dtype))
    _by_tiles(writer, a, b, None, ab)
    added, multiplied = writer.read(bias), writer.read(ab)
    writer.store(out, (multiplied if alpha == 1 else multiplied * alpha) + (added if beta == 1 else added * beta))


def _member(at: Address, slot: Slot) -> str:
    """The address of one of a batch."""
    return at(slot) if slot.shape[0] == 1 else f"{at(slot)} + k * {slot.stride[0]}"


def _for_each(count: int, text: str) -> str:
    return text if count == 1 else f"for (int64_t k = 0; k < {count}; k++) {text}"


def _by_tiles(writer: Writer, a: Slot, b: Slot, bias: Slot | None, out: Slot) -> None:
    """out = a b + bias, where the bias is a row or a column."""
    (count, m, k), n, t = a.shape, b.shape[2], ctype(out.dtype)
    sizes, row, added = (m, n, k), out.stride[1:], bias.stride[1:] if bias is not None else (0, 0)
    left, right, first, second = a, b, a.stride[1:], b.stride[1:]
    if n * _padded(m) < m * _padded(n):  # the transposed product wastes less
        left, right, first, second = b, a, b.stride[:0:-1], a.stride[:0:-1]
        sizes, row, added = (n, m, k), row[::-1], added[::-1]
    writer.scratch = max(writer.scratch, (k + 1) * _padded(sizes[1]) * out.dtype.itemsize)
    numbers = ", ".join(map(str, (*sizes, *first, *second, *row, *added)))

    def text(at: Address) -> str:
        pointers = f"{_member(at, left)}, {_member(at, right)}, {_member(at, out)}"
        line = "nullptr" if bias is None else _member(at, bias)
        return _for_each(count, f"gemm<{t}, {numbers}>({pointers}, {line}, ({t}*)scratch);")

    writer.raw(text, [slot for slot in (a, b, bias) if slot is not None], [out])


def _padded(size: int) -> int:
    return -(-size // PADDED) * PADDED


def vector_product(writer: Writer, made: Call) -> None:
    """Matrix times vector, vector times vector, and with an addend: sums of products; by ones: sums."""
    given, out = arguments(made, writer), results(writer, made)[0]
    if made.name == "dot" or made.name == "vdot":
        a, b = given["self"], given["tensor"]
        one = replace(out, shape=(1,), stride=(0,))
    else:
        a, b = (given["mat"], given["vec"]) if "mat" in given else (given["self"], given["vec"])
        one = replace(out, shape=(*out.shape, 1), stride=(*out.stride, 0))
    ones = writer.constants.get(b.storage) == 1
    value = writer.read(a) if ones else writer.read(a) * writer.read(b)
    if made.name != "addmv":
        return writer.take(one, value, a.shape)
    total, read = writer.new(out.shape, out.dtype), writer.read
    writer.take(replace(total, shape=one.shape, stride=(*total.stride, 0)), value, a.shape)
    writer.store(out, read(given["self"]) * given["beta"] + read(total) * given["alpha"])


PRODUCTS: dict[str, Callable[[Writer, Call], None]] = {
    **dict.fromkeys(("mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_"), product),
    **dict.fromkeys(("mv", "dot", "vdot", "addmv"), vector_product),
}
