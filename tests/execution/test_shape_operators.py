"""Operators that reshape and select, in every way in which a step is made."""

from __future__ import annotations

import pytest
import torch

from graphdl import (
    Chunk,
    Concat,
    Constant,
    Expand,
    Feed,
    Flatten,
    Flip,
    Gather,
    IndexSelect,
    Item,
    Linear,
    MSELoss,
    Network,
    OneHot,
    Pad,
    Permute,
    Product,
    Repeat,
    Reshape,
    Roll,
    Select,
    Slice,
    Split,
    Squeeze,
    Stack,
    StopGradient,
    Sum,
    Transpose,
    Unflatten,
    Unsqueeze,
    Weight,
    fit,
)
from graphdl.operators import Cast
from graphdl.optim import SGD
from tests.twins import needs_compiler

CHAINS = {
    "order": [Reshape((3, 4)), Transpose(1, 2), Roll((1, -1), (1, 2)), Flip(2), Permute((0, 2, 1)), Flatten()],
    "border": [Unflatten(1, (2, 6)), Pad((1, 2), "reflect"), Pad((1, 0), "circular"), Pad((-1, 1)), Flatten()],
    "copies": [Unsqueeze(1), Expand((-1, 2, -1)), Repeat((1, 2, 1)), Slice(1, 4), Select(-1), Unsqueeze(2), Squeeze(2)],
}


def chained():
    """Three branches of shape operators, a table that is read twice, classes, and a tuple of which a part is used."""
    operators = {"fc": Linear(5, 12), "split": Split((2, 5, 5)), "a": Item(1), "b": Item(-1), "chunk": Chunk(3)}
    edges = {"x": ["fc"], "fc": ["split", "chunk", *(f"{name}0" for name in CHAINS)], "split": ["a", "b"]}
    for name, chain in CHAINS.items():
        operators |= {f"{name}{k}": operator for k, operator in enumerate(chain)}
        edges |= {f"{name}{k}": [f"{name}{k + 1}"] for k in range(len(chain) - 1)}
        edges[f"{name}{len(chain) - 1}"] = ["all"]
    operators |= {"stack": Stack(), "gather": Gather(1), "row": Select(0), "c": Item(0), "hot": OneHot(4)}
    operators |= {"table": Weight((4, 5)), "embed": IndexSelect(0), "again": IndexSelect(0), "order": Constant((3, 1))}
    operators |= {"mean": Weight((1, 5)), "sum": Sum(), "pairs": Flatten(0), "wide": Unsqueeze(0), "times": Product()}
    operators |= {
        "floats": Cast("float64"),
        "stop": StopGradient(),
        "all": Concat(),
        "out": Linear(None, 2),
        "loss": MSELoss(),
    }
    edges |= {
        "a": ["stack"],
        "b": ["stack", "stop"],
        "stack": [Feed("gather", slot="input")],
        "places": [Feed("gather", slot="index")],
        "gather": ["row"],
        "row": ["all"],
        "chunk": ["c"],
        "c": ["all"],
        "k": ["hot", Feed("embed", slot="index")],
        "hot": ["floats"],
        "floats": ["all"],
        "table": [Feed("embed", slot="input"), Feed("again", slot="input")],
        "order": [Feed("again", slot="index")],
        "embed": ["sum"],
        "mean": ["sum"],
        "stop": ["sum"],
        "again": ["pairs"],
        "pairs": ["wide"],
        "wide": [Feed("times", slot=0)],
        "sum": ["twice"],
        "twice": [Feed("times", slot=1)],
        "times": ["all"],
        "all": ["out"],
        "out": ["loss"],
        "y": ["loss"],
    }
    operators |= {"twice": Repeat((1, 2))}
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    data = {
        "x": torch.randn(16, 5, generator=generator, dtype=torch.float64),
        "y": torch.randn(16, 2, generator=generator, dtype=torch.float64),
        "k": torch.randint(4, (16,), generator=generator),
        "places": torch.randint(2, (16, 1, 5), generator=generator),
    }
    return net, data


WAYS = {
    "replayed": {},
    "compiled": {"compile": True},
    "recomputed": {"recompute": ["fc", "split", "a", "table", "embed"]},
}


@needs_compiler
@pytest.mark.parametrize("way", WAYS)
def test_training_is_that_of_a_loop_of_one_s_own(way):
    net, data = chained()
    twin, _ = chained()
    for each in (net, twin):
        each.build({name: tensor.shape[1:] for name, tensor in data.items()})
    stepper = SGD(lr=0.05).bind(twin)
    for _ in range(4):
        for start in (0, 8):
            twin.forward({name: tensor[start : start + 8] for name, tensor in data.items()})
            twin.backward()
            stepper.step()
    fit(net, data, optimizer=SGD(lr=0.05), epochs=4, batch_size=8, shuffle=False, progress=False, **WAYS[way])
    for name, tensor in twin.parameters.items():
        torch.testing.assert_close(net.parameters[name], tensor, rtol=1e-9, atol=1e-11, msg=name)
    assert net.cost({name: (8, *tensor.shape[1:]) for name, tensor in data.items()}).peak > 0
