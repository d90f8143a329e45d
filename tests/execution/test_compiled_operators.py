"""Every operator that has a compiled form, by the shared cases: those of a family side by side in one network."""

import importlib
from dataclasses import dataclass

import pytest
import torch

from graphdl import Feed, Identity, Item, Linear, MSELoss, Network, Operator, operators
from graphdl.operators import Loss
from graphdl.optim import SGD
from tests.twins import assert_twins, needs_compiler

pytestmark = needs_compiler

FAMILIES = [
    "activations", "embedding", "linear", "losses", "merge", "normalization", "piecewise", "regularization", "softmax",
    "structure",
]  # fmt: skip
STEPS = 5


class Bed:
    """A network of many cases: each floating input passes a layer first, each output meets a target."""

    def __init__(self, cases, dtype):
        self.operators, self.edges, self.inputs, self.dtype = {}, {}, {}, dtype
        generator = torch.Generator().manual_seed(3)
        for n, case in enumerate(cases):
            self.add(f"{n} {case}", case)
        for key, shape in Network(self.operators, self.edges, dtype=dtype).shapes(self.inputs).items():
            if isinstance(key, str) and key.endswith("after"):
                target = torch.randn(shape, generator=generator, dtype=dtype)
                self.inputs[key.replace("after", "target")] = target

    def add(self, name, case):
        node = self.operators[name] = case.operator
        for k, x in enumerate(case.draw(self.dtype)[1]):
            last = f"{name} x{k}"
            self.inputs[last] = x
            if x.is_floating_point() and x.dim():
                self.operators[f"{name} in{k}"] = Linear(x.shape[-1], x.shape[-1])
                self.edges[last] = [f"{name} in{k}"]
                last = f"{name} in{k}"
            self.edges[last] = [Feed(name, slot=k, gradient=1.0 if k else 0.5)]
        if not isinstance(node, Loss):
            self.operators |= {f"{name} after": Identity(), f"{name} loss": MSELoss()}
            self.edges |= {name: [f"{name} after"], f"{name} after": [Feed(f"{name} loss", "prediction")]}
            self.edges[f"{name} target"] = [Feed(f"{name} loss", "target")]

    def network(self):
        net = Network(self.operators, self.edges, seed=0, dtype=self.dtype)
        return net.build({name: x.to("meta") for name, x in self.inputs.items()})


def cases_of(family):
    return importlib.import_module(f"tests.operators.test_{family}").CASES


def assert_trains_alike(cases, dtype):
    bed = Bed(cases, dtype)
    inputs = {name: torch.stack([x] * STEPS) for name, x in bed.inputs.items()}
    assert_twins(bed.network, inputs, SGD(lr=0.02, momentum=0.9))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_case_trains_alike(family):
    assert_trains_alike(cases_of(family), torch.float64)


def test_vectorized_and_in_single_precision():
    cases = [case for family in FAMILIES for case in cases_of(family)]
    assert_trains_alike(cases[::9], torch.float32)


def test_every_operator_is_covered_or_known_to_be_left_out():
    covered = {type(case.operator) for family in FAMILIES for case in cases_of(family)} | {Item}
    public = [each for each in map(vars(operators).get, operators.__all__) if isinstance(each, type)]
    left_out = {kind.__name__ for kind in public if issubclass(kind, Operator) and kind not in covered}
    assert left_out == {"AdaptiveAvgPool2d", "Conv2d", "MaxPool2d", "Activation", "Loss", "Operator"}


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
