"""The random generators of data are found, wherever they are, and only where fit stores a run."""

import collections
import random
import sys
from types import SimpleNamespace

import numpy
import torch
from torch import ones

from graphdl import Checkpoint, Linear, MSELoss, Network, fit
from graphdl.optim import SGD
from graphdl.training.runs.generators import generators_of


class Slotted:
    __slots__ = ("__own", "missing", "rows")

    def __init__(self, *rows):
        self.rows, self.__own = rows, random.Random(0)


class Lazy(collections.abc.Mapping):
    """Rows that are read when they are asked for."""

    def __init__(self):
        self.own = torch.Generator()

    def __iter__(self):
        raise AssertionError("the rows were read")

    __getitem__ = __len__ = __iter__


def test_generators_are_found_in_bounded_time():
    nested = [[[[float(k) for k in range(100)] for _ in range(100)] for _ in range(100)], numpy.random.default_rng(0)]
    assert len(generators_of([nested, nested])) == 1
    subset = SimpleNamespace(own=numpy.random.default_rng(0))
    for _ in range(6):
        subset = torch.utils.data.Subset(subset, range(3))
    for data in (subset, Slotted(*([[0.0]] * 200 for _ in range(200))), Lazy(), [*map(str, range(99)), Slotted()]):
        assert len(generators_of(([data], None))) == 1
    assert not generators_of([random.SystemRandom(), None, print, Slotted])
    loop = []
    loop.append(loop)
    assert not generators_of(loop)


def test_generators_are_looked_for_once(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(sys.modules["graphdl.training.fit"], "generators_of", lambda data: looked.append(data) or [])
    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    for checkpoint in (None, Checkpoint(tmp_path, steps=1)):
        fit(net, ones(4, 2), ones(4, 1), optimizer=SGD(), epochs=3, batch_size=2, checkpoint=checkpoint, progress=False)
    assert len(looked) == 1
