from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import EmbeddingBag, Feed, Linear, MSELoss, Network, fit
from graphdl.errors import GraphDLError, SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check
from tests.operators.test_embedding import bounded, indices


def embedding_bag(operator):
    def reference(p, x, offsets=None, factors=None):
        return functional.embedding_bag(
            x.long(),
            bounded(p["weight"], operator.max_norm, operator.norm_type),
            None if offsets is None else offsets.long(),
            scale_grad_by_freq=operator.scale_grad_by_freq,
            mode=operator.mode,
            per_sample_weights=factors,
            include_last_offset=operator.include_last_offset,
            padding_idx=operator.padding,
        )

    return reference


def starts(*positions, dtype=torch.int64):
    return lambda generator: torch.tensor(positions, dtype=dtype)


def case(name, operator, *inputs):
    return Case(name, operator, inputs, embedding_bag(operator), batched=False)


CASES = [
    case("bag", EmbeddingBag(5, 3, mode="sum"), indices(7), starts(0, 3, 3), (7,)),
    case("bag-int32", EmbeddingBag(5, 2, mode="sum"), indices(6, dtype=torch.int32), starts(0, 4), (6,)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def agrees(operator, x, offsets=None, factors=None):
    """Value and gradients in a network, against torch."""
    given = {"input": x, "offsets": offsets, "per_sample_weights": factors}
    inputs = {name: tensor for name, tensor in given.items() if tensor is not None}
    edges = {name: [Feed("bag", slot=name)] for name in inputs}
    net = Network({"bag": operator}, edges, seed=0, dtype=torch.float64)
    weight = net.parameters["bag.weight"].clone().requires_grad_()
    leaf = None if factors is None else factors.clone().requires_grad_()
    expected = embedding_bag(operator)({"weight": weight}, x, offsets, leaf)
    torch.testing.assert_close(net.forward(inputs)["bag"], expected.detach())
    dy = upstream(expected.detach())
    sent = net.backward({"bag": dy})
    found = torch.autograd.grad(expected, [weight] if leaf is None else [weight, leaf], dy)
    torch.testing.assert_close(net.gradients["bag.weight"], found[0])
    if leaf is not None:
        torch.testing.assert_close(sent["per_sample_weights"], found[1])
    assert torch.equal(net.predict(inputs), net.values["bag"])


MODES = ("sum", "mean", "max")
SETTINGS = [
    {},
    {"padding_idx": 1},
    {"padding_idx": -1, "max_norm": 1.0},
    {"max_norm": 2.0, "norm_type": 1.0},
    {"scale_grad_by_freq": True},
]
CHOICES = [(mode, each) for mode, each in itertools.product(MODES, SETTINGS) if (mode, each) != ("max", SETTINGS[-1])]


@pytest.mark.parametrize(("mode", "settings"), CHOICES)
def test_it_agrees_with_torch_in_each_mode(mode, settings):
    generator = torch.Generator().manual_seed(0)
    operator = EmbeddingBag(5, 3, mode=mode, **settings)
    x = torch.randint(5, (4, 6), generator=generator)
    x[2] = 1
    agrees(operator, x)
    agrees(operator, x.t())
    agrees(operator, x.int())
    agrees(operator, x.byte())
    agrees(operator, x[:0])
    agrees(operator, x.reshape(-1), torch.tensor([0, 3, 3, 20]))
    agrees(operator, x.reshape(-1), torch.tensor([0, 3, 3, 20], dtype=torch.int32))
    last = EmbeddingBag(5, 3, mode=mode, include_last_offset=True, **settings)
    agrees(last, x.reshape(-1), torch.tensor([0, 3, 3, 24]))
    if mode == "sum":
        factors = torch.randn(4, 6, generator=generator, dtype=torch.float64)
        agrees(operator, x, None, factors)
        agrees(operator, x.t(), None, factors.t())
        agrees(operator, x.reshape(-1), torch.tensor([0, 0, 20]), factors.reshape(-1))


@pytest.mark.parametrize("mode", MODES)
def test_indices_after_the_last_bag_are_in_none(mode):
    """torch counts them in the last bag, or reads gradients that are not there."""
    net = Network({"bag": EmbeddingBag(5, 3, mode=mode, include_last_offset=True)}, {
        "x": [Feed("bag", slot="input")], "offsets": [Feed("bag", slot="offsets")]}, seed=0)  # fmt: skip
    outcomes = []
    for x in ([0, 1, 2, 0], [0, 1, 2, 0, 3, 3, 4, 0, 1]):
        y = net.forward({"x": torch.tensor(x), "offsets": torch.tensor([0, 3, 4])})["bag"]
        net.backward({"bag": torch.ones(2, 3)})
        outcomes.append([y, net.gradients["bag.weight"].clone()])
    torch.testing.assert_close(*outcomes)


def test_bags_without_indices_are_0():
    for mode in MODES:
        net = Network({"bag": EmbeddingBag(5, 3, mode=mode)}, {"x": ["bag"]})
        assert torch.equal(net.forward(torch.zeros(2, 0, dtype=torch.int64))["bag"], torch.zeros(2, 3))
        net.backward({"bag": torch.ones(2, 3)})
        assert not net.gradients["bag.weight"].any()


@pytest.mark.parametrize("settings", [{}, {"padding_idx": 2}, {"mode": "sum"}])
def test_it_is_torch_s_module(settings):
    torch.manual_seed(0)
    module = nn.EmbeddingBag(60, 50, **settings)
    net = Network({"bag": EmbeddingBag(60, 50, **settings)}, {"x": ["bag"]}, seed=0)
    assert net.parameters["bag.weight"].std().item() == pytest.approx(module.weight.std().item(), rel=0.05)
    assert net.parameters["bag.weight"][2].any() == module.weight[2].any()
    net.load_state_dict({f"bag.{name}": tensor for name, tensor in module.state_dict().items()})
    x = torch.randint(60, (5, 6))
    torch.testing.assert_close(net.predict(x), module(x).detach())


@pytest.mark.parametrize("mode", MODES)
def test_fit_trains_as_a_loop_of_one_s_own(mode):
    generator = torch.Generator().manual_seed(0)
    inputs = {"x": torch.randint(9, (8, 4), generator=generator), "y": torch.randn(8, 2, generator=generator)}
    operators = {"bag": EmbeddingBag(9, 3, 1.5, mode=mode, padding_idx=0), "out": Linear(3, 2), "loss": MSELoss()}
    edges = {"x": ["bag"], "bag": ["out"], "out": ["loss"], "y": ["loss"]}
    net, twin = (Network(operators, edges, seed=0) for _ in range(2))
    fit(net, inputs, optimizer=SGD(lr=0.1), epochs=6, batch_size=8, shuffle=False, progress=False)
    stepper = SGD(lr=0.1).bind(twin)
    for _ in range(6):
        twin.forward(inputs)
        twin.backward()
        stepper.step()
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor)
    assert not net.parameters["bag.weight"][0].any()


X, FLAT = torch.tensor([[0, 1], [2, 0]]), torch.tensor([0, 1, 2])
OFFSETS, FACTORS = torch.tensor([0, 2]), torch.ones(2, 2)


@pytest.mark.parametrize(
    ("settings", "given", "text"),
    [
        ({}, (X.float(), None, None), r"the indices are float32: .* x\.long\(\).*Expected indices from 0 to 4"),
        ({}, (FLAT, None, None), r"indices in one row need offsets \(n\)"),
        ({}, (FLAT, OFFSETS[None], None), r"indices in one row need offsets \(n\)"),
        ({}, (FLAT, OFFSETS.float(), None), "the offsets are float32: give integers"),
        ({}, (X, OFFSETS, None), "each row of indices is a bag, so there can be no offsets"),
        ({}, (X[None], None, None), r"indices are \(n, t\), or \(t\) with offsets"),
        ({}, (X, None, FACTORS), 'per_sample_weights need mode "sum", not "mean"'),
        ({"mode": "sum"}, (X, None, FACTORS[:1]), "per_sample_weights need the shape of the indices"),
        ({"include_last_offset": True}, (FLAT, OFFSETS[:0], None), "offsets hold at least one number"),
        ({}, (X + 3, None, None), "Expected indices from 0 to 4; these are from 3 to 5"),
        ({}, (FLAT, OFFSETS + 1, None), "offsets that rise from 0 to at most the number of indices"),
        ({}, (FLAT, OFFSETS * 2, None), "offsets that rise from 0 to at most the number of indices"),
    ],
)
def test_other_inputs_are_told(settings, given, text):
    inputs = {name: tensor for name, tensor in zip(EmbeddingBag.slots, given, strict=True) if tensor is not None}
    net = Network({"bag": EmbeddingBag(5, 3, **settings)}, {name: [Feed("bag", slot=name)] for name in inputs})
    with pytest.raises(GraphDLError, match=rf"bag \(EmbeddingBag\) .*{text}") as caught:
        net.forward(inputs)
    assert isinstance(caught.value, ShapeError) == (
        "Expected indices from 0 to 4; these" not in text and "rise" not in text
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EmbeddingBag(5, 3, mode="avg"), "mode must be 'sum' or 'mean' or 'max', not 'avg'"),
        (lambda: EmbeddingBag(5, 3, padding_idx=5), "padding_idx must be one of the 5 indices, not 5"),
        (lambda: EmbeddingBag(5, 3, mode="max", scale_grad_by_freq=True), 'scale_grad_by_freq needs mode "sum" or'),
        (lambda: EmbeddingBag(5, 0), "embedding_dim must be a whole number of at least 1, not 0"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^EmbeddingBag: {text}"):
        make()


def test_arguments_are_torch_s():
    ours, theirs = inspect.signature(EmbeddingBag).parameters, inspect.signature(nn.EmbeddingBag).parameters
    assert [*ours][:6] == [*theirs][:6]
    shared = [name for name in theirs if name not in ("sparse", "_weight", "device", "dtype")]
    assert sorted([*shared, "weight"]) == sorted(ours)
    assert all(ours[name].default == theirs[name].default for name in shared)


def test_texts():
    assert EmbeddingBag(100, 16).describe() == "100 → 16, mean"
    assert (
        EmbeddingBag(100, 16, 1.5, mode="max", padding_idx=0).describe() == "100 → 16, padding_idx 0, max_norm 1.5, max"
    )
    assert EmbeddingBag.slots == ("input", "offsets", "per_sample_weights")
