"""Operators of one input, drawn with random settings to fit a value of some shape (the batch axis is left out)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from graphdl import (
    AdaptiveAvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2d,
    Operator,
    RectifiedTanh,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)

MOST = 400
"""Elements that a row of a value may have."""


@dataclass(frozen=True)
class Split(Operator):
    """A custom operator with a tuple of outputs: the parts of the last axis, of some widths."""

    widths: tuple[int, ...]

    def forward(self, p, x, *, training):
        return tuple(x.split(self.widths, -1)), x.shape

    def backward(self, p, shape, dy):
        dx = next(part for part in dy if part is not None).new_zeros(shape)
        for target, part in zip(dx.split(self.widths, -1), dy, strict=True):
            if part is not None:
                target.copy_(part)
        return (dx,), {}


@dataclass(frozen=True)
class LogOnePlusExp(Operator):
    """A custom operator of one output, whose backward takes everything from what it saved: log(1 + exp x)."""

    def forward(self, p, x, *, training):
        return x.clamp(min=0) + (-x.abs()).exp().log1p(), x

    def backward(self, p, x, dy):
        return (dy * x.sigmoid(),), {}


def linear(rng: Random, shape, rows):
    width = rng.randint(1, 17)
    known = None if rng.random() < 0.1 else shape[-1]
    return Linear(known, width, bias=rng.random() < 0.8), (*shape[:-1], width)


def elementwise(rng: Random, shape, rows):
    slope = rng.choice([0.01, 0.2, 0.0, 1.5, -0.3])
    operators = [ReLU(), ReLU(), LeakyReLU(slope), Tanh(), RectifiedTanh(), Sigmoid(), Identity()]
    return rng.choice(operators), shape


def along_an_axis(rng: Random, shape, rows):
    dim = rng.choice([-1, -1, -1, *range(len(shape) + 1)])
    return rng.choice([Softmax, LogSoftmax])(dim), shape


def dropout(rng: Random, shape, rows):
    return Dropout(rng.choice([0.5, 0.1, 0.3, 0.9, 0.0, 1.0])), shape


def batch_norm(rng: Random, shape, rows):
    values = rows
    for size in shape[1:]:
        values *= size
    if values < 2:
        return None
    kind = BatchNorm2d if len(shape) == 3 else BatchNorm1d
    channels = None if rng.random() < 0.1 else shape[0]
    momentum = rng.choice([0.1, 0.1, 0.5, 1.0, 0.0, None])
    eps = rng.choice([1e-5, 1e-5, 1e-3])
    return kind(channels, eps, momentum, affine=rng.random() < 0.8, track_running_stats=rng.random() < 0.8), shape


def layer_norm(rng: Random, shape, rows):
    axes = rng.randint(1, len(shape))
    given = rng.choice([None, shape[-1]]) if axes == 1 else shape[-axes:]
    eps = rng.choice([1e-5, 1e-3])
    return LayerNorm(given, eps, elementwise_affine=rng.random() < 0.8, bias=rng.random() < 0.8), shape


def flatten(rng: Random, shape, rows):
    start = rng.randint(1, len(shape))
    size = 1
    for each in shape[start - 1 :]:
        size *= each
    return Flatten(start), (*shape[: start - 1], size)


def convolution(rng: Random, shape, rows):
    channels, *sizes = shape
    groups = rng.choice([g for g in (1, 1, 2, 3, channels) if channels % g == 0])
    mode = rng.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    kernel = tuple(rng.randint(1, min(3, size)) for size in sizes)
    dilation = tuple(rng.choice([1, 1, 2]) if (k - 1) * 2 < size else 1 for k, size in zip(kernel, sizes, strict=True))
    stride = tuple(rng.choice([1, 1, 2]) for _ in sizes)
    padding = rng.choice(["same", "valid", "number", "number"])
    if padding == "same":
        stride = (1, 1)
        fits = all(d * (k - 1) < size for d, k, size in zip(dilation, kernel, sizes, strict=True))
        padding = "same" if fits else 0
    elif padding == "number":
        padding = tuple(min(rng.randint(0, 2), size - 1) for size in sizes)
    added = {"same": [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)], "valid": [0, 0], 0: [0, 0]}
    totals = added[padding] if padding in added else [2 * each for each in padding]
    found = [
        (size + total - d * (k - 1) - 1) // s + 1
        for size, total, d, k, s in zip(sizes, totals, dilation, kernel, stride, strict=True)
    ]
    out = groups * rng.randint(1, 4)
    known = None if rng.random() < 0.1 else channels
    bias = rng.random() < 0.7
    operator = Conv2d(known, out, kernel, stride, padding, dilation, groups, bias, padding_mode=mode)
    return operator, (out, *found)


def max_pool(rng: Random, shape, rows):
    channels, *sizes = shape
    kernel = tuple(rng.randint(1, min(3, size)) for size in sizes)
    padding = tuple(rng.randint(0, k // 2) for k in kernel)
    stride = rng.choice([None, 1, 2])
    steps = kernel if stride is None else (stride, stride)
    up = rng.random() < 0.3
    found = []
    for size, k, border, s in zip(sizes, kernel, padding, steps, strict=True):
        room = size + 2 * border - k
        length = (room + (s - 1 if up else 0)) // s + 1
        found.append(length - 1 if up and (length - 1) * s >= size + border else length)
    return MaxPool2d(kernel, stride, padding, ceil_mode=up), (channels, *found)


def average_pool(rng: Random, shape, rows):
    channels, h, w = shape
    size = rng.choice([1, 2, (1, None), (None, 2), (3, 1), None])
    given = size if isinstance(size, tuple) else (size, size)
    return AdaptiveAvgPool2d(size), (channels, given[0] or h, given[1] or w)


def softplus(rng: Random, shape, rows):
    return LogOnePlusExp(), shape


ANY = [linear] * 6 + [elementwise] * 8 + [along_an_axis, dropout, dropout, layer_norm, flatten]
LAYERS = {
    1: [*ANY, batch_norm, batch_norm, linear, linear],
    2: [*ANY, batch_norm, batch_norm, flatten, flatten],
    3: [*ANY, batch_norm, batch_norm, flatten, flatten, max_pool, max_pool, average_pool] + [convolution] * 6,
}
"""Number of axes -> what may follow."""


def layer(rng: Random, shape: tuple[int, ...], rows: int, custom: bool):
    """An operator on a value of this shape, and the shape of its output."""
    while True:
        made = (softplus if custom and rng.random() < 0.1 else rng.choice(LAYERS[len(shape)]))(rng, shape, rows)
        if made is None:
            continue
        size = 1
        for each in made[1]:
            size *= each
        if size <= MOST:
            return made
