"""Every operator that has a compiled form, by the shared cases: those of a family side by side in one network."""

import importlib
from dataclasses import dataclass

import pytest
import torch

from graphdl import (
    Cast,
    Feed,
    Identity,
    Item,
    Linear,
    MSELoss,
    Multiply,
    Network,
    Operator,
    Sigmoid,
    Weight,
)
from graphdl.operators import Loss
from graphdl.optim import SGD
from tests.operators.case import elements
from tests.operators.test_operator import NAMES
from tests.twins import assert_twins, needs_compiler

pytestmark = needs_compiler

STEPS, MOST = 5, 8


class Bed:
    """A network of many cases: inputs pass a layer, or a learned factor if they have a range; outputs meet targets."""

    def __init__(self, cases, dtype):
        self.operators, self.edges, self.inputs, self.dtype = {}, {}, {}, dtype
        self.generator = torch.Generator().manual_seed(3)
        for n, case in enumerate(cases):
            self.add(f"{n} {case}", case)

    def add(self, name, case):
        node = self.operators[name] = case.operator
        p, xs = case.draw(self.dtype)
        y = case.forward(p, xs)[0]
        passes = any(each.is_floating_point() for each in elements(y))
        for k, x in enumerate(xs):
            last = f"{name} x{k}"
            self.inputs[last] = x
            if passes and x.is_floating_point() and x.dim():
                self.edges[last] = [f"{name} in{k}"]
                last = f"{name} in{k}"
                if callable(case.inputs[k]):
                    self.operators |= {f"{last} w": Weight(tuple(x.shape)), f"{last} s": Sigmoid(), last: Multiply()}
                    self.edges |= {f"{last} w": [f"{last} s"], f"{last} s": [last]}
                else:
                    self.operators[last] = Linear(x.shape[-1], x.shape[-1])
            self.edges[last] = [Feed(name, slot=k, gradient=1.0 if k else 0.5)]
        for k, each in enumerate(() if isinstance(node, Loss) else elements(y)):
            if each.numel():
                after, loss, target = (f"{name} {what}{k}" for what in ("after", "loss", "target"))
                item, cast = Item(k) if isinstance(y, tuple) else Identity(), Cast(str(self.dtype)[6:])
                self.operators |= {after: item, f"{after} cast": cast, loss: MSELoss()}
                self.edges.setdefault(name, []).append(after)
                self.edges |= {after: [f"{after} cast"], f"{after} cast": [loss], target: [Feed(loss, "target")]}
                self.inputs[target] = torch.randn(each.shape, generator=self.generator, dtype=self.dtype)

    def network(self):
        net = Network(self.operators, self.edges, seed=0, dtype=self.dtype)
        return net.build({name: x.to("meta") for name, x in self.inputs.items()})


def cases_of(family):
    return importlib.import_module(f"tests.operators.test_{family}").CASES


def assert_trains_alike(cases, dtype):
    bed = Bed(cases, dtype)
    inputs = {name: torch.stack([x] * STEPS) for name, x in bed.inputs.items()}
    assert_twins(bed.network, inputs, SGD(lr=0.02, momentum=0.9))


@pytest.mark.parametrize("family", NAMES)
def test_cases_train_alike(family):
    """Some cases of each family, in one type in turn."""
    cases = cases_of(family)
    dtype = torch.float32 if NAMES.index(family) % 4 == 3 else torch.float64
    assert_trains_alike(cases[:: -(-len(cases) // MOST)], dtype)


@dataclass(frozen=True)
class Halves(Operator):
    """An output of two tensors."""

    def forward(self, p, x, *, training):
        return tuple(torch.tensor_split(x, 2, 1)), None

    def backward(self, p, saved, dy):
        return (torch.cat(dy, 1),), {}


def test_outputs_of_several_tensors():
    operators = {"fc": Linear(2, 6), "halves": Halves(), "a": Item(0), "b": Item(1), "loss": MSELoss()}
    edges = {"x": ["fc"], "fc": ["halves"], "halves": ["a", "b"], "a": ["loss"], "b": ["loss"]}
    assert_twins(lambda: Network(operators, edges, seed=0), {"x": torch.ones(3, 4, 2)}, SGD(lr=0.1))
