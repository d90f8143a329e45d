"""Batch and layer normalization, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from graphdl.cpp.formulas import root
from graphdl.cpp.kernels import kept_shape, seen
from graphdl.cpp.values import Value, cast
from graphdl.cpp.writer import Writer, arguments
from graphdl.execution.tape import Call, Slot


def channels(slot: Slot, rank: int) -> Slot:
    """A vector along the second axis."""
    shape = [1] * rank
    shape[1] = slot.shape[0]
    return replace(slot, shape=tuple(shape), stride=(0, slot.stride[0], *[0] * (rank - 2)))


def batch_norm(writer: Writer, made: Call) -> None:
    """y = weight (x - mean) invstd + bias; the running statistics move towards the batch's."""
    given = arguments(made, writer)
    x: Slot = given["input"]
    y, *kept = [None if slot is None else writer.slot(slot) for slot in made.results[:3]]
    assert y is not None
    training = given.get("training", given.get("train", not made.name.endswith("no_training")))
    rank, read = len(x.shape), writer.read
    small = kept_shape(x.shape, [axis for axis in range(rank) if axis != 1])
    dtype = kept[0].dtype if kept[0] is not None and kept[0].shape != (0,) else x.dtype
    running: list[Any] = [given.get("running_mean"), given.get("running_var")]
    if training:
        mean, invstd = (channels(k, rank) if k is not None else writer.new(small, dtype) for k in kept)
        _statistics(writer, given, x, (mean, invstd), running)
        centre, scale = read(mean), read(invstd)
    else:
        mean, var = (channels(each, rank) for each in running)
        centre, scale = read(mean), 1 / root(read(var) + given["eps"])
    value = (read(x) - centre) * scale
    value = value if given["weight"] is None else value * read(channels(given["weight"], rank))
    writer.store(y, value if given["bias"] is None else value + read(channels(given["bias"], rank)))


def _statistics(
    writer: Writer, given: dict[str, Any], x: Slot, into: tuple[Slot, Slot], running: Sequence[Slot | None]
) -> None:
    """Mean and 1 / standard deviation of each channel, and the running ones."""
    (mean, invstd), read, rank = into, writer.read, len(x.shape)
    count, momentum = x.size // max(x.shape[1], 1), given["momentum"]
    var = writer.new(mean.shape, mean.dtype)
    writer.take(mean, read(x), x.shape, "Sum", count)
    distance = read(x) - read(mean)
    writer.take(var, distance * distance, x.shape, "Sum", count)
    for each, batch in zip(running, (read(mean), read(var) * (count / max(count - 1, 1))), strict=True):
        if each is not None:
            moved = channels(each, rank)
            writer.store(moved, read(moved) * (1 - momentum) + batch * momentum)
    writer.store(invstd, 1 / root(read(var) + given["eps"]))


def batch_norm_backward(writer: Writer, made: Call) -> None:
    """dx = weight invstd (dy - mean(dy) - z mean(dy z)); dweight = sum dy z; dbias = sum dy; z = (x - mean) invstd."""
    given = arguments(made, writer)
    x, dy, rank, read = given["input"], given["grad_out"], len(given["input"].shape), writer.read
    dx, dweight, dbias = (None if slot is None else writer.slot(slot) for slot in made.results)
    names = ("save_mean", "save_invstd") if given["train"] else ("running_mean", "running_var")
    mean, scale = (read(channels(given[name], rank)) for name in names)
    if not given["train"]:
        scale = 1 / root(scale + given["eps"])
    small = kept_shape(x.shape, [axis for axis in range(rank) if axis != 1])
    total, product = (writer.new(small, x.dtype) for _ in range(2))
    z = (read(x) - mean) * scale
    if given["train"] or dbias is not None or dweight is not None:
        writer.take(total, read(dy), x.shape)
        writer.take(product, read(dy) * z, x.shape)
    for gradient, source in ((dweight, product), (dbias, total)):
        if gradient is not None and gradient.shape:
            writer.store(channels(gradient, rank), read(source))
    if dx is not None and dx.size:
        count = x.size // max(x.shape[1], 1)
        value = read(dy) - read(total) / count - z * (read(product) / count) if given["train"] else read(dy)
        factor = scale if given["weight"] is None else scale * read(channels(given["weight"], rank))
        writer.store(dx, value * factor)


def rows_of(slot: Slot, axes: int) -> tuple[tuple[int, ...], list[int]]:
    """The shape of a statistic of each row, and the axes of a row, the last ones."""
    taken = list(range(len(slot.shape) - axes, len(slot.shape)))
    return kept_shape(slot.shape, taken), taken


def layer_norm(writer: Writer, made: Call) -> None:
    """y = weight (x - mean) invstd + bias, over the last axes."""
    given = arguments(made, writer)
    x, read = given["input"], writer.read
    y, mean, invstd = (writer.slot(slot) for slot in made.results if slot is not None)
    small, taken = rows_of(x, len(given["normalized_shape"]))
    mean, invstd = seen(mean, small), seen(invstd, small)
    count = math.prod(x.shape[axis] for axis in taken)
    writer.take(mean, read(x), x.shape, "Sum", count)
    distance = read(x) - read(mean)
    writer.take(invstd, distance * distance, x.shape, "Sum", count)
    writer.store(invstd, 1 / root(read(invstd) + given["eps"]))
    value = distance * read(invstd)
    value = value if given["weight"] is None else value * read(given["weight"])
    writer.store(y, value if given["bias"] is None else value + read(given["bias"]))


def layer_norm_backward(writer: Writer, made: Call) -> None:
    """dx = (g - mean(g) - z mean(g z)) invstd, g = weight dy; over all rows dweight = sum dy z, dbias = sum dy."""
    given = arguments(made, writer)
    x, dy, read = given["input"], writer.read(given["grad_out"]), writer.read
    dx, dweight, dbias = (None if slot is None else writer.slot(slot) for slot in made.results)
    small, taken = rows_of(x, len(given["normalized_shape"]))
    mean, invstd = (read(seen(writer.plain(given[name]), small)) for name in ("mean", "rstd"))
    z = (read(x) - mean) * invstd
    if dx is not None and dx.size:
        g = dy if given["weight"] is None else dy * read(given["weight"])
        total, product = (writer.new(small, x.dtype) for _ in range(2))
        count = math.prod(x.shape[axis] for axis in taken)
        writer.take(total, g, x.shape, "Sum", count)
        writer.take(product, g * z, x.shape, "Sum", count)
        writer.store(dx, (g - read(total) - z * read(product)) * invstd)
    for gradient, value in ((dweight, dy * z), (dbias, dy)):
        if gradient is not None and gradient.shape:
            _over_rows(writer, gradient, value, x.shape)


def _over_rows(writer: Writer, gradient: Slot, value: Value, shape: Sequence[int]) -> None:
    wide = (*[1] * (len(shape) - len(gradient.shape)), *gradient.shape)
    stride = (*[0] * (len(shape) - len(gradient.shape)), *gradient.stride)
    writer.take(replace(gradient, shape=wide, stride=stride), cast(value, gradient.dtype), shape)


NORMALIZATION: dict[str, Callable[[Writer, Call], None]] = {
    "_native_batch_norm_legit": batch_norm, "_native_batch_norm_legit_no_training": batch_norm,
    "native_batch_norm": batch_norm, "native_batch_norm_backward": batch_norm_backward,
    "native_layer_norm": layer_norm, "native_layer_norm_backward": layer_norm_backward,
}  # fmt: skip
