"""Functions of torch that take elements together along axes: sums, softmax, normalization, losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from graphdl.cpp.formulas import exp, log, power, root
from graphdl.cpp.values import Value, call, cast, choose, equal, lookup, number, position, unequal
from graphdl.cpp.writer import Writer, arguments, packed
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot

FLOATS = (torch.float32, torch.float64)


def axes_of(dim: Any, rank: int) -> list[int]:
    """The axes that an argument names, counted from the start; all if it names none."""
    chosen = [dim] if isinstance(dim, int) else list(dim or range(rank))
    return sorted({axis % max(rank, 1) for axis in chosen}) if rank else []


def kept_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape with 1 in the axes that are taken together."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def seen(slot: Slot, shape: Sequence[int]) -> Slot:
    """A tensor without gaps in another shape."""
    assert slot.stride == packed(slot.shape) or slot.size <= 1
    return replace(slot, shape=tuple(shape), stride=packed(shape))


def in_place(slot: Slot, shape: Sequence[int], axes: Sequence[int]) -> Slot:
    """A result that may lack the axes taken together, with size 1 there."""
    if len(slot.shape) == len(shape):
        return slot
    strides = iter(slot.stride)
    return replace(slot, shape=kept_shape(shape, axes), stride=tuple(
        0 if axis in axes else next(strides) for axis in range(len(shape))
    ))  # fmt: skip


def along(kind: str) -> Callable[[Writer, Call], None]:
    """Elements taken together."""

    def written(writer: Writer, made: Call) -> None:
        given, out = arguments(made, writer), results(writer, made)[0]
        x: Slot = given["self"]
        axes = axes_of(given.get("dim"), len(x.shape))
        count = math.prod(x.shape[axis] for axis in axes) if made.name == "mean" else 1
        writer.take(in_place(out, x.shape, axes), cast(writer.read(x), out.dtype), x.shape, kind, count)

    return written


def results(writer: Writer, made: Call) -> list[Slot]:
    """The slots that a call returns."""
    return [writer.slot(slot) for slot in made.results if slot is not None]


def variance(writer: Writer, made: Call) -> None:
    """The mean squared distance from the mean; its root is the standard deviation."""
    given, out = arguments(made, writer), results(writer, made)[0]
    x: Slot = given["self"]
    axes = axes_of(given.get("dim"), len(x.shape))
    count = math.prod(x.shape[axis] for axis in axes)
    mean = writer.new(kept_shape(x.shape, axes), out.dtype)
    writer.take(mean, writer.read(x), x.shape, "Sum", count)
    distance = writer.read(x) - writer.read(mean)
    correction = given.get("correction")
    rest = max(count - (1 if correction is None else correction), 0)
    target = in_place(out, x.shape, axes)
    writer.take(target, distance * distance, x.shape)
    writer.store(target, writer.read(target) / rest)
    if made.name == "std":
        writer.store(target, root(writer.read(target)))


def norm(writer: Writer, made: Call) -> None:
    """The sum of powers of absolute values, and its root."""
    given, out = arguments(made, writer), results(writer, made)[0]
    x: Slot = given["self"]
    order = given.get("ord", given.get("p"))
    order = 2 if order is None else order
    axes = axes_of(given.get("dim"), len(x.shape))
    target, value = in_place(out, x.shape, axes), cast(writer.read(x), out.dtype)
    if order == math.inf:
        return writer.take(target, call("fabs", value), x.shape, "Largest")
    if order in (0, -math.inf):
        raise CompileError(f"a norm of the order {order} has no form in C++ here")
    writer.take(target, value * value if order == 2 else power(call("fabs", value), order), x.shape)
    if order != 1:
        total = writer.read(target)
        writer.store(target, root(total) if order == 2 else power(total, 1 / order))


def logsumexp(writer: Writer, made: Call) -> None:
    """log sum exp x, from the distances to the largest x unless that is infinite."""
    given, y = arguments(made, writer), results(writer, made)[0]
    x: Slot = given["self"]
    if 0 in x.shape:
        return writer.store(y, number(-math.inf, y.dtype))
    axes = axes_of(given["dim"], len(x.shape))
    largest = writer.new(kept_shape(x.shape, axes), y.dtype)
    target = in_place(y, x.shape, axes)
    writer.take(largest, cast(writer.read(x), y.dtype), x.shape, "Largest")
    writer.store(largest, choose(equal(call("fabs", writer.read(largest)), math.inf), 0, writer.read(largest)))
    writer.take(target, exp(cast(writer.read(x), y.dtype) - writer.read(largest)), x.shape)
    writer.store(target, log(writer.read(target)) + writer.read(largest))


def softmax(writer: Writer, made: Call) -> None:
    """exp x / sum exp x along an axis, or its logarithm."""
    given, y = arguments(made, writer), results(writer, made)[0]
    x: Slot = given["self"]
    read, shape = writer.read, x.shape
    small = kept_shape(shape, axes_of(given["dim"], len(shape)))
    largest, total = writer.new(small, y.dtype), writer.new(small, y.dtype)
    writer.take(largest, read(x), shape, "Largest")
    if made.name == "_softmax":
        writer.store(y, exp(cast(read(x), y.dtype) - read(largest)))
        writer.take(total, read(y), shape)
        writer.store(y, read(y) / read(total))
    else:
        shifted = cast(read(x), y.dtype) - read(largest)
        writer.take(total, exp(shifted), shape)
        writer.store(total, log(read(total)))
        writer.store(y, shifted - read(total))


def softmax_backward(writer: Writer, made: Call) -> None:
    """y (dy - sum dy y); of the logarithm: dy - exp(y) sum dy."""
    given, dx = arguments(made, writer), results(writer, made)[0]
    dy, y = writer.read(given["grad_output"]), writer.read(given["output"])
    shape = given["output"].shape
    total = writer.new(kept_shape(shape, axes_of(given["dim"], len(shape))), dx.dtype)
    if made.name == "_softmax_backward_data":
        writer.take(total, dy * y, shape)
        writer.store(dx, y * (dy - writer.read(total)))
    else:
        writer.take(total, dy, shape)
        writer.store(dx, dy - exp(y) * writer.read(total))


# Losses by class indices


def chosen(writer: Writer, given: dict[str, Any]) -> tuple[Slot, Value, Value | None, tuple[int, ...]]:
    """The class indices with an axis of classes, whether they count, the weight of each, and the scores' shape."""
    x, ignored = given["self"], given["ignore_index"]
    axis = 1 if len(x.shape) > 1 else 0
    index = writer.check(given["target"], x.shape[axis], ignored)
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    index = seen(index, shape)
    counts = unequal(writer.read(index), ignored)
    if given["weight"] is None:
        return index, counts, None, shape
    weight = lookup(given["weight"], 0, choose(counts, writer.read(index), 0))
    return index, counts, weight, shape


def nll_loss(writer: Writer, made: Call) -> None:
    """-weight of the class times its score, in the mean over the weights of the rows that count."""
    given, (loss, total) = arguments(made, writer), results(writer, made)
    x, reduction = given["self"], given["reduction"]
    index, counts, weight, shape = chosen(writer, given)
    axis = 1 if len(x.shape) > 1 else 0
    share = choose(counts, number(1, x.dtype) if weight is None else weight, 0)
    score = lookup(x, axis, choose(counts, writer.read(index), 0))
    losses = choose(counts, -score * share, number(0, x.dtype))
    if reduction == 0 and len(x.shape) > 1:
        writer.store(seen(loss, shape), losses)
        return writer.store(total, number(0, x.dtype))
    one = (1,) * len(shape)
    writer.take(replace(total, shape=one, stride=(0,) * len(one)), share, shape)
    writer.take(replace(loss, shape=one, stride=(0,) * len(one)), losses, shape)
    if reduction == 1:
        writer.store(loss, writer.read(loss) / writer.read(total))


def nll_loss_backward(writer: Writer, made: Call) -> None:
    """-weight dy at the class, else 0."""
    given, dx = arguments(made, writer), results(writer, made)[0]
    index, counts, weight, shape = chosen(writer, given)
    axis = 1 if len(dx.shape) > 1 else 0
    dy, rows = given["grad_output"], given["reduction"] == 0 and len(dx.shape) > 1
    start = writer.read(seen(writer.plain(dy), shape) if rows else dy)
    if given["reduction"] == 1:
        start = start / writer.read(given["total_weight"])
    value = -start if weight is None else -start * weight
    here = equal(position(axis - len(dx.shape)), cast(writer.read(index), torch.int64)) & counts
    writer.store(dx, choose(here, cast(value, dx.dtype), 0))


KERNELS: dict[str, Callable[[Writer, Call], None]] = {
    "sum": along("Sum"), "mean": along("Sum"), "amax": along("Largest"), "amin": along("Smallest"),
    "prod": along("Product"), "var": variance, "std": variance,
    "linalg_vector_norm": norm, "norm": norm, "logsumexp": logsumexp,
    "_softmax": softmax, "_log_softmax": softmax,
    "_softmax_backward_data": softmax_backward, "_log_softmax_backward_data": softmax_backward,
    "nll_loss_forward": nll_loss, "nll_loss2d_forward": nll_loss,
    "nll_loss_backward": nll_loss_backward, "nll_loss2d_backward": nll_loss_backward,
}  # fmt: skip
"""Function -> how it is taken apart. The axes of each are named by `dim`."""
