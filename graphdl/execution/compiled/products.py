"""Matrix products: small ones by the loops of step.h, whose sizes are constants, large ones by torch's BLAS."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.fx import Node

from graphdl.errors import CompileError
from graphdl.execution.compiled.values import Buffer, ctype
from graphdl.execution.compiled.writer import Writer

aten = torch.ops.aten

LARGE = 2_000_000
"""Operations, multiplications and additions, from which BLAS is faster."""
VECTOR = 16  # numbers that rows are padded to: the widest vectors hold so many


@cache
def blas(dtype: torch.dtype) -> int:
    """The address of torch's own BLAS product; CompileError if it cannot be found."""
    name = {torch.float32: "sgemm_", torch.float64: "dgemm_"}[dtype]
    try:
        library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))))
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError, StopIteration):
        raise CompileError("a matrix product so large that it needs BLAS, which this torch keeps to itself") from None


def product(writer: Writer, node: Node, arguments: list[Any]) -> Buffer:
    """a b, or bias + a b."""
    if node.kwargs:
        raise CompileError(f"{node.target} with {', '.join(node.kwargs)} has no form in C++ here")
    bias, a, b = (None, *arguments) if len(arguments) == 2 else arguments
    a, b = writer.realize(a), writer.realize(b)
    out = writer.place(node)
    wide = None if bias is None else writer.realize(bias).view(aten.expand, list(out.shape))
    dtype = node.meta["val"].dtype
    if dtype not in (torch.float32, torch.float64):
        raise CompileError(f"matrix products of {dtype} have no form in C++ here")
    if 2 * out.size * a.shape[1] > LARGE and 1 in a.strides and 1 in b.strides:
        _by_blas(writer, a, b, wide, out)
    else:
        _by_tiles(writer, a, b, wide, out)
    return out


def _by_blas(writer: Writer, a: Buffer, b: Buffer, bias: Buffer | None, out: Buffer) -> None:
    """BLAS goes by columns: it computes outᵀ = bᵀ aᵀ."""
    writer.blas = blas(out.dtype)
    if bias is not None:
        writer.store(bias, out)
    (m, k), n = a.shape, b.shape[1]
    (am, ak), (bk, bn) = a.strides, b.strides
    ta, lda = ("N", max(am, k)) if ak == 1 else ("T", max(ak, m))
    tb, ldb = ("N", max(bk, n)) if bn == 1 else ("T", max(bn, k))
    sizes = f"{n}, {m}, {k}, {b.pointer}, {ldb}, {a.pointer}, {lda}, {out.pointer}, {n}"
    kind = f"blas<{ctype(out.dtype)}>"
    writer.statements.append(f"{kind}(gemm_of_blas, '{tb}', '{ta}', {sizes}, {int(bias is not None)});")


def _by_tiles(writer: Writer, a: Buffer, b: Buffer, bias: Buffer | None, out: Buffer) -> None:
    (m, k), n = a.shape, b.shape[1]
    sm, sn = bias.strides if bias is not None else (0, 0)
    sm, sn = (sm if m > 1 else 0), (sn if n > 1 else 0)
    if bias is not None and not sm and not sn:
        sm, sn = (0, 1) if n == 1 else (1, 0) if m == 1 else (0, 0)
    if bias is not None and bool(sm) == bool(sn):
        raise CompileError("a matrix or a number added to a matrix product")
    sizes, left, right, row, added = (m, n, k), a, b, (n, 1), (sm, sn)
    if n * _padded(m) < m * _padded(n):  # the transposed product wastes less
        left, right = b.view(aten.t), a.view(aten.t)
        sizes, row, added = (n, m, k), (1, n), (sn, sm)
    writer.scratch = max(writer.scratch, (k + 1) * _padded(sizes[1]) * out.dtype.itemsize)
    numbers = ", ".join(map(str, (*sizes, *left.strides, *right.strides, *row, *added)))
    pointers = f"{left.pointer}, {right.pointer}, {out.pointer}, {bias.pointer if bias is not None else 'nullptr'}"
    t = ctype(out.dtype)
    writer.statements.append(f"gemm<{t}, {numbers}>({pointers}, ({t}*)m.scratch);")


def _padded(size: int) -> int:
    return -(-size // VECTOR) * VECTOR


PRODUCTS = {aten.mm: product, aten.addmm: product}
