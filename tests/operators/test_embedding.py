from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import CrossEntropyLoss, Embedding, Flatten, Linear, Network, fit
from graphdl.errors import GraphDLError, SettingError, ShapeError
from graphdl.initializers import Constant, Uniform
from graphdl.optim import Adam
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check


def indices(*shape, below=5, dtype=torch.int64):
    return lambda generator: torch.randint(below, shape, generator=generator).to(dtype)


def embedding(operator):
    def reference(p, x):
        bound = operator.max_norm, operator.norm_type
        return functional.embedding(
            x.long(), bounded(p["weight"], *bound), operator.padding, None, 2.0, operator.scale_grad_by_freq
        )

    return reference


def bounded(weight, max_norm, norm_type):
    """The rows scaled as torch scales them in place; the gradient passes as if they had not been."""
    if max_norm is None:
        return weight
    scaled = weight.detach().clone()
    torch.embedding_renorm_(scaled, torch.arange(len(weight)), max_norm, norm_type)
    return weight + (scaled - weight).detach()


def case(name, operator, given, **settings):
    return Case(name, operator, [given], embedding(operator), **settings)


CASES = [
    case("row", Embedding(5, 3), indices(6)),
    case("sequence", Embedding(5, 2), indices(3, 4)),
    case("cube", Embedding(5, 2), indices(2, 3, 2)),
    case("single", Embedding(5, 3), indices(), batched=False),
    case("int32", Embedding(5, 3), indices(3, 2, dtype=torch.int32)),
    case("bytes", Embedding(5, 3), indices(3, 2, dtype=torch.uint8)),
    case("unused", Embedding(9, 2), indices(4)),
    case("initialized", Embedding(5, 2, weight=Uniform(-1, 1)), indices(4)),
]
PADDED = [
    case("padded", Embedding(5, 2, padding_idx=1), indices(8)),
    case("padded-end", Embedding(5, 2, -1), indices(8)),
    case("by-frequency", Embedding(3, 2, scale_grad_by_freq=True), indices(8, below=3)),
    case("bounded", Embedding(5, 3, max_norm=1.2), indices(8)),
    case("bounded-sum", Embedding(5, 3, 0, 1.5, 1.0, True), indices(3, 4)),
    case("bounded-all", Embedding(5, 3, max_norm=0.5, norm_type=math.inf), indices(4)),
]
"""Whose gradient is by intention not the derivative."""

DERIVATIVE = ("agrees_with_differences", "passes_gradcheck")


@every_check
@pytest.mark.parametrize("case", [*CASES, *PADDED], ids=str)
def test_contract(check, case):
    if case not in PADDED or check.__name__ not in DERIVATIVE:
        check(case)


@pytest.mark.parametrize("padding", [None, 2, -2, 0])
@pytest.mark.parametrize("by_frequency", [False, True])
def test_it_is_torch_s_module(padding, by_frequency):
    module = nn.Embedding(7, 4, padding, scale_grad_by_freq=by_frequency)
    net = Network({"table": Embedding(7, 4, padding, scale_grad_by_freq=by_frequency)}, {"x": ["table"]}, seed=0)
    assert {f"table.{name}": tensor.shape for name, tensor in module.state_dict().items()} == {
        name: tensor.shape for name, tensor in net.state_dict().items()
    }
    net.load_state_dict({f"table.{name}": tensor for name, tensor in module.state_dict().items()})
    x = torch.randint(7, (5, 6), generator=torch.Generator().manual_seed(0))
    expected = module(x)
    assert torch.equal(net.forward(x)["table"], expected.detach())
    dy = upstream(expected.detach())
    expected.backward(dy)
    assert net.backward({"table": dy}) == {}
    torch.testing.assert_close(net.gradients["table.weight"], module.weight.grad)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 1.0, 2.5])
def test_a_step_with_max_norm_is_torch_s(max_norm, norm_type):
    """Values and gradient are; weight stays, where torch scales it."""
    torch.manual_seed(0)
    module = nn.Embedding(7, 4, 2, max_norm, norm_type)
    net = Network({"table": Embedding(7, 4, 2, max_norm, norm_type)}, {"x": ["table"]})
    net.load_state_dict({"table.weight": module.weight.detach()})
    before = net.parameters["table.weight"].clone()
    x = torch.randint(7, (5, 6), generator=torch.Generator().manual_seed(0))
    expected = module(x)
    torch.testing.assert_close(net.forward(x)["table"], expected.detach())
    dy = upstream(expected.detach())
    expected.backward(dy)
    net.backward({"table": dy})
    torch.testing.assert_close(net.gradients["table.weight"], module.weight.grad)
    assert torch.equal(net.parameters["table.weight"], before)
    assert max_norm > 2 or not torch.equal(module.weight, before)


@pytest.mark.parametrize(("padding", "row"), [(3, 3), (-1, 9), (0, 0)])
def test_the_padding_row_is_zero_and_stays(padding, row):
    operators = {"table": Embedding(10, 4, padding), "flat": Flatten(), "out": Linear(out_features=2)}
    edges = {"x": ["table"], "table": ["flat"], "flat": ["out"], "out": ["loss"], "y": ["loss"]}
    net = Network(operators | {"loss": CrossEntropyLoss()}, edges, seed=0)
    x = torch.randint(10, (64, 3), generator=torch.Generator().manual_seed(0))
    fit(net, {"x": x, "y": (x[:, 0] > 4).long()}, optimizer=Adam(lr=0.05), epochs=20, batch_size=16, progress=False)
    weight = net.parameters["table.weight"]
    assert not weight[row].any()
    assert weight.any(1).sum() == 9
    net.forward({"x": x, "y": (x[:, 0] > 4).long()})
    net.backward()
    assert not net.gradients["table.weight"][row].any()
    assert net.gradients["table.weight"].any()


def test_first_values_are_distributed_as_in_torch():
    weight = Network({"table": Embedding(500, 40)}, {"x": ["table"]}, seed=0).parameters["table.weight"]
    assert weight.mean().item() == pytest.approx(0, abs=0.03)
    assert weight.std().item() == pytest.approx(1, abs=0.02)
    padded = Network({"table": Embedding(3, 2, 1, weight=Constant(2))}, {"x": ["table"]}).parameters["table.weight"]
    assert padded.tolist() == [[2, 2], [0, 0], [2, 2]]


@pytest.mark.parametrize("wrong", [5, -1, 12])
def test_an_index_out_of_range_is_told_with_the_range(wrong):
    net = Network({"table": Embedding(5, 2)}, {"x": ["table"]})
    low, high = min(0, wrong), max(4, wrong)
    text = rf"table \(Embedding\) .* Expected indices from 0 to 4; these are from {low} to {high}"
    for run in (net.forward, net.predict):
        with pytest.raises(GraphDLError, match=text):
            run(torch.tensor([0, 4, wrong]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_what_are_no_integers_is_refused(dtype):
    net = Network({"table": Embedding(5, 2)}, {"x": ["table"]})
    text = rf"table \(Embedding\) .*: the indices are {str(dtype)[6:]}: .* x\.long\(\).* Expected indices from 0 to 4"
    with pytest.raises(ShapeError, match=text):
        net.forward(torch.ones(3, dtype=dtype))


def test_shapes_are_inferred_without_knowing_that_inputs_are_indices():
    net = Network({"table": Embedding(5, 2), "flat": Flatten()}, {"x": ["table"], "table": ["flat"]})
    assert net.build({"x": (7,)}).shapes({"x": (3, 7)}) == {"x": (3, 7), "table": (3, 7, 2), "flat": (3, 14)}


def test_a_frozen_table_has_no_gradient():
    net = Network({"table": Embedding(5, 2), "fc": Linear(2, 1)}, {"x": ["table"], "table": ["fc"]}, seed=0)
    net.freeze("table")
    net.forward(torch.tensor([1, 2]))
    net.backward({"fc": torch.ones(2, 1)})
    assert [*net.gradients] == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Embedding(0, 2), "num_embeddings must be a whole number of at least 1, not 0"),
        (lambda: Embedding(3, 2.0), "embedding_dim must be a whole number of at least 1, not 2.0"),
        (lambda: Embedding(3, 2, 3), "padding_idx must be one of the 3 indices, not 3"),
        (lambda: Embedding(3, 2, -4), "padding_idx must be one of the 3 indices, not -4"),
        (lambda: Embedding(3, 2, 1.0), "padding_idx must be a whole number, not 1.0"),
        (lambda: Embedding(3, 2, max_norm=-1), "max_norm must be a finite number of at least 0, not -1"),
        (lambda: Embedding(3, 2, norm_type=0), "norm_type must be a positive number or infinity, not 0"),
        (lambda: Embedding(3, 2, norm_type=math.nan), "norm_type must be a positive number or infinity, not nan"),
        (lambda: Embedding(3, 2, weight=Uniform), "weight must be an initializer .*, not the class Uniform: write"),
        (lambda: Embedding(3, 2, weight=1), "weight must be an initializer"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^Embedding: {text}"):
        make()


def test_arguments_are_torch_s():
    ours, theirs = inspect.signature(Embedding).parameters, inspect.signature(nn.Embedding).parameters
    assert [*ours] == [*[*theirs][:6], "weight"]
    assert all(ours[name].default == theirs[name].default for name in [*theirs][:6])
    with pytest.raises(SettingError, match="was given 7 settings by position"):
        Embedding(3, 2, None, None, 2.0, False, False)


def test_texts():
    assert Embedding(100, 16).describe() == "100 → 16"
    assert Embedding(100, 16, 0, scale_grad_by_freq=True).describe() == "100 → 16, padding_idx 0, by frequency"
    assert Embedding(100, 16, max_norm=2.0, norm_type=1).describe() == "100 → 16, max_norm 2, norm_type 1"
    assert Embedding(100, 16).expects() == "indices from 0 to 99"
    assert (Embedding.slots, Embedding.family) == (("input",), "embedding")
