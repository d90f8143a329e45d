"""Operators drawn from the shared cases of tests/operators: settings, inputs that fit them, and what torch computes."""

from __future__ import annotations

import math
from collections import defaultdict
from random import Random
from typing import Any

import torch
from torch import Tensor

from graphdl import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Cast,
    Constant,
    CTCLoss,
    Item,
    Linear,
    LogSoftmax,
    Loss,
    MSELoss,
    Multiply,
    Operator,
    Reshape,
    Scale,
    Select,
    Sigmoid,
    Weight,
)
from tests.agreement.layers import MOST
from tests.operators.case import Case, elements
from tests.operators.test_operator import CONCRETE, FAMILIES

LEFT_OUT = {
    "Block": "and the blocks made of it: their nodes take their place before anything runs, see tests/test_blocks.py",
}
"""What is not drawn, and why."""

BEFORE = {CTCLoss: LogSoftmax(-1)}
"""What stands before the first input: the gradient of CTCLoss is that by the input of a LogSoftmax."""

BATCH_NORMS = BatchNorm1d, BatchNorm2d, BatchNorm3d

A_NETWORK = 4
"""Operators that have their turn in a network."""

CASES: dict[type, list[Case]] = defaultdict(list)
for _family in FAMILIES:
    for _case in _family.CASES:
        if type(_case.operator).__name__ not in LEFT_OUT and all(x.numel() for x in _case.draw()[1]):
            CASES[type(_case.operator)].append(_case)

DRAWN = sorted((kind for kind in CONCRETE if kind in CASES), key=lambda kind: kind.__name__)


def turn(seed: int) -> list[type]:
    """The operators of a network: all have their turns, in another order each time."""
    rounds = [divmod(k, len(DRAWN)) for k in range(A_NETWORK * seed, A_NETWORK * (seed + 1))]
    return [Random(number).sample(DRAWN, len(DRAWN))[place] for number, place in rounds]


def nested(x: Tensor) -> Any:
    """The numbers of a tensor in tuples, as a Constant takes them."""
    return tuple(map(nested, x)) if x.dim() else x.item()


def depends_on_training(operator: Operator) -> bool:
    """Whether it computes something else where it is frozen."""
    return type(operator).draw is not Operator.draw or bool(operator.buffers())


def place(artist: Any, kind: type) -> None:
    """Place an operator of a kind into a network, by one of its cases."""
    least = min(artist.drawn.rows, artist.drawn.last)
    fitting = [case for case in CASES[kind] if least > 1 or not case.batched or 1 in case.small]
    Placing(artist, artist.rng.choice(fitting)).place()


def whole(y: Any, tensors: list[Tensor]) -> Any:
    """An output; of a tuple, each so that what it does not depend on has a gradient of zeros, as in graphdl."""
    if not isinstance(y, tuple):
        return y
    nothing = sum(0 * x.sum() for x in tensors if x.is_floating_point())
    return tuple(each + nothing if each.is_floating_point() else each for each in y)


class Placing:
    """Places a case into a network that is drawn.

    Inputs whose first axis is the batch come from the values of the network, others from nodes that hold a Weight or
    a Constant. A case that draws inputs of its own may need them in a range: what it drew is then multiplied by a
    learned factor between 0.5 and 1.
    """

    def __init__(self, artist: Any, case: Case) -> None:
        self.artist, self.case, self.dtype = artist, case, artist.drawn.dtype
        self.p, xs = case.draw(self.dtype, artist.drawn.seed)
        self.batched = case.batched and len({len(x) if x.dim() else None for x in xs}) == 1
        self.xs = self._rows() if self.batched else xs

    def _rows(self) -> list[Tensor]:
        """Inputs of as many rows as there are: those of several draws."""
        count, drawn = self.artist.count, []
        while sum(xs[0].shape[0] for xs in drawn) < count:
            drawn.append(self.case.draw(self.dtype, 100 * self.artist.drawn.seed + len(drawn))[1])
        return [torch.cat(parts)[:count] for parts in zip(*drawn, strict=True)]

    def place(self) -> None:
        artist, case = self.artist, self.case
        sources = [self._source(k, x) for k, x in enumerate(self.xs)]
        operator = case.operator
        if isinstance(operator, Loss):
            operator = artist.weighted(operator)
        key = artist.add(operator, None, sources, named=True)
        if not isinstance(operator, BATCH_NORMS):  # their references are those of the layers, which move the statistics
            artist.drawn.cases[key] = case
        if not case.training:
            artist.drawn.frozen.append(key)
        if isinstance(operator, Loss):
            return
        some = [x[:3] for x in self.xs] if self.batched else self.xs
        many, few = (case.forward(self.p, xs)[0] for xs in (self.xs, some))
        for k, (y, less) in enumerate(zip(elements(many), elements(few), strict=True)):
            by_row = self.batched and y.dim() and len(y) == artist.count and len(less) == 3
            self._use(artist.add(Item(k), None, [key]) if isinstance(many, tuple) else key, y, by_row)
        if len(self.xs) == 1 and not callable(case.inputs[0]) and key in artist.shapes and self.batched:
            artist.read[key] = tuple(self.xs[0].shape[1:])

    def _source(self, k: int, x: Tensor) -> Any:
        """A node or an input with the values of an input of the case, or with others that fit as well."""
        artist, case = self.artist, self.case
        free, shape = not callable(case.inputs[k]), tuple(x.shape[1:])
        if not x.is_floating_point() or (self.batched and artist.chance(0.2)):
            return self._given(x)
        same = artist.source(lambda s: s == shape) if free and self.batched else None
        if same is not None and artist.chance(0.6):
            return same
        found = self._adapted(shape) if self.batched else artist.add(Weight(tuple(x.shape)), None, [])
        if k == 0 and type(case.operator) in BEFORE:
            return artist.add(BEFORE[type(case.operator)], None, [found])
        if free:
            return found
        factor = artist.add(Scale(0.5, 0.5), None, [artist.add(Sigmoid(), None, [found])])
        return artist.add(Multiply(), None, [factor, self._given(x)], named=True)

    def _given(self, x: Tensor) -> Any:
        return self.artist.add_given(x) if self.batched else self.artist.add(Constant(nested(x)), None, [])

    def _adapted(self, shape: tuple[int, ...]) -> Any:
        """Some value in this shape of a row, by a dense layer."""
        artist = self.artist
        source = artist.source()
        size, width = math.prod(artist.shapes[source]), math.prod(shape)
        if len(artist.shapes[source]) != 1:
            source = artist.add(Reshape((size,)), None, [source])
        found = artist.add(Linear(size, width), None, [source])
        if shape == (width,):
            return found
        return artist.add(Reshape(shape) if shape else Select(0), None, [found])

    def _use(self, key: Any, y: Tensor, by_row: bool) -> None:
        """Let others read an output: as a value of rows, or in a loss of its own."""
        artist = self.artist
        if not y.numel():
            return
        if y.dtype is not self.dtype:
            key = artist.add(Cast(str(self.dtype).removeprefix("torch.")), None, [key])
        if not by_row:
            target = artist.add(Scale(0.5, 0.3), None, [key])
            artist.add(artist.weighted(MSELoss()), None, [key, target], named=True)
            return
        shape = tuple(y.shape[1:])
        if not 1 <= len(shape) <= 3:
            shape = (math.prod(shape),)
            key = artist.add(Reshape(shape), None, [key])
        assert math.prod(shape) <= MOST, f"{self.case} makes {y.shape}"
        artist.shapes[key] = shape
        artist.ends.append(key)
