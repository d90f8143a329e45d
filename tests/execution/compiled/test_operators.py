"""Every operator that has a compiled form, by the shared cases."""

import importlib

import pytest
import torch

from graphdl import Feed, Identity, Linear, MSELoss, Network
from graphdl.operators import Loss
from graphdl.optim import SGD
from tests.execution.compiled.twins import assert_twins, needs_compiler

pytestmark = needs_compiler

FAMILIES = ["activations", "embedding", "linear", "losses", "merge", "normalization", "regularization", "structure"]
CASES = [
    pytest.param(case, id=f"{family}-{case}")
    for family in FAMILIES
    for case in importlib.import_module(f"tests.operators.test_{family}").CASES
]


def bed(case, dtype):
    """A network of one case: each floating input passes a layer first, and the output meets a target."""
    _, xs = case.draw(dtype)
    operators, edges, inputs = {"node": case.operator}, {}, {}
    for k, x in enumerate(xs):
        last = f"x{k}"
        if x.is_floating_point() and x.dim():
            operators[f"in{k}"] = Linear(x.shape[-1], x.shape[-1])
            edges[last], last = [f"in{k}"], f"in{k}"
        edges[last] = [Feed("node", slot=k, gradient=1.0 if k else 0.5)]
        inputs[f"x{k}"] = x
    if not isinstance(case.operator, Loss):
        operators |= {"after": Identity(), "loss": MSELoss()}
        edges |= {"node": ["after"], "after": [Feed("loss", "prediction")], "target": [Feed("loss", "target")]}
    return operators, edges, inputs


def network(case, dtype):
    operators, edges, inputs = bed(case, dtype)
    net = Network(operators, edges, seed=0, dtype=dtype)
    shapes = net.shapes(inputs)
    if "target" in net.inputs:
        generator = torch.Generator().manual_seed(3)
        inputs = inputs | {"target": torch.randn(shapes["after"], generator=generator, dtype=dtype)}
    net.build({name: x.to("meta") for name, x in inputs.items()})
    return net, inputs


@pytest.mark.parametrize("dtype", [torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_trains_alike(case, dtype):
    net, inputs = network(case, dtype)
    if not net.parameters:
        pytest.skip("the case has nothing to train")
    inputs = {name: torch.stack([x] * 5) for name, x in inputs.items()}
    assert_twins(lambda: network(case, dtype)[0], inputs, SGD(lr=0.02, momentum=0.9))
