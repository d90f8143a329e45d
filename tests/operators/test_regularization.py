from __future__ import annotations

import pytest
import torch
from torch import nn

from graphdl import Dropout, Linear, MSELoss, Network, check_gradients, fit
from graphdl.errors import SettingError
from graphdl.optim import SGD
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check


def dropout(operator):
    def reference(p, x, drawn=None):
        if drawn is None:
            return x * 1
        return x * drawn.to(x.dtype) * (1 / (1 - operator.p) if operator.p < 1 else 0)

    return reference


def case(name, operator, shape, **settings):
    return Case(name, operator, [shape], dropout(operator), **settings)


CASES = [
    *(case(f"{len(shape)}d", Dropout(), shape) for shape in [(5,), (4, 3), (2, 3, 3), (2, 3, 2, 2)]),
    case("seldom", Dropout(0.1), (4, 3)),
    case("often", Dropout(p=0.8), (4, 5)),
    case("never", Dropout(0), (4, 3)),
    case("evaluated", Dropout(0.4), (4, 3), training=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


ALWAYS = case("always", Dropout(1.0), (4, 3))


@pytest.mark.parametrize("x", [torch.ones(4, 3), torch.full((2, 2), 3.0)])
def test_always_gives_zeros_and_sends_back_zeros(x):
    y, mask = Dropout(1.0).forward({}, x, training=True)
    assert torch.equal(y, torch.zeros_like(x))
    assert torch.equal(Dropout(1.0).backward({}, mask, torch.ones_like(x))[0][0], torch.zeros_like(x))


@pytest.mark.parametrize("operator", [Dropout(), Dropout(0.0), Dropout(1.0)])
def test_evaluation_is_the_identity_and_keeps_nothing(operator):
    x = torch.randn(4, 3)
    y, saved = operator.forward({}, x, training=False)
    assert y is x
    assert saved is None
    dy = torch.randn(4, 3)
    assert operator.backward({}, saved, dy)[0][0] is dy


def test_never_draws_nothing_and_keeps_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    x = torch.randn(4, 3)
    assert Dropout(0.0).draw(x, generator=generator) is None
    assert torch.equal(generator.get_state(), before)
    assert Dropout(0.0).forward({}, x, training=True)[1] is None


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9, 1e-3])
def test_the_share_that_is_dropped(p):
    generator = torch.Generator().manual_seed(0)
    n = 400_000
    mask = Dropout(p).draw(torch.empty(n), generator=generator)
    assert mask.dtype is torch.bool
    error = 5 * (p * (1 - p) / n) ** 0.5
    assert (~mask).double().mean().item() == pytest.approx(p, abs=error)
    assert (mask[::2] ^ mask[1::2]).double().mean().item() == pytest.approx(2 * p * (1 - p), abs=3 * error)
    y, _ = Dropout(p).forward({}, torch.ones(n), training=True, drawn=mask)
    assert y.mean().item() == pytest.approx(1, abs=error / (1 - p) + 1e-6)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}


@pytest.mark.parametrize("p", [1e-12, 1 - 1e-12])
def test_extreme_probabilities(p):
    mask = Dropout(p).draw(torch.empty(1001), generator=torch.Generator().manual_seed(0))
    assert mask.all() if p < 0.5 else not mask.any()


def network(seed, *more):
    operators = {"drop": Dropout(0.4), "again": Dropout(0.4)}
    return Network(operators, {"x": ["drop"], "drop": ["again"]}, seed=seed)


def test_a_seed_gives_the_same_masks_and_every_pass_another():
    x = torch.ones(50, 20)
    a, b, c = network(0), network(0), network(1)
    first = a.forward(x)["again"]
    assert torch.equal(first, b.forward(x)["again"])
    assert not torch.equal(first, c.forward(x)["again"])
    second = a.forward(x)["again"]
    assert not torch.equal(first, second)
    assert torch.equal(second, b.forward(x)["again"])
    assert not torch.equal(a.values["drop"] == 0, a.values["again"] == 0)
    assert torch.equal(a.predict(x), x)
    assert torch.equal(a.forward(x, training=False)["again"], x)


def test_the_global_generator_is_left_alone_by_networks_and_taken_without():
    x = torch.ones(50, 20)
    state = torch.get_rng_state()
    network(0).forward(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    first, _ = Dropout().forward({}, x, training=True)
    torch.manual_seed(3)
    assert torch.equal(first, Dropout().forward({}, x, training=True)[0])
    assert not torch.equal(first, Dropout().forward({}, x, training=True)[0])


def test_training_is_the_same_from_the_same_seed():
    def trained():
        operators = {"fc": Linear(3, 8), "drop": Dropout(), "out": Linear(8, 1), "loss": MSELoss()}
        edges = {"x": ["fc"], "fc": ["drop"], "drop": ["out"], "out": ["loss"], "y": ["loss"]}
        net = Network(operators, edges, seed=7)
        data = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        fit(net, {"x": data, "y": data[:, :1]}, optimizer=SGD(lr=0.1), epochs=3, batch_size=16, progress=False)
        return net.state_dict()

    first, second = trained(), trained()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_gradients_in_a_network_are_checked_with_the_same_masks():
    net = Network({"a": Linear(3, 4), "drop": Dropout()}, {"x": ["a"], "a": ["drop"]}, seed=0, dtype=torch.float64)
    state = net.generator.get_state()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert check_gradients(net, {"x": x}) < 1e-7
    assert torch.equal(net.generator.get_state(), state)


def test_the_scale_is_torch_s():
    x = torch.ones(1000)
    expected = nn.Dropout(0.3)(x).unique()
    assert torch.equal(Dropout(0.3).forward({}, x, training=True)[0].unique(), expected)


def test_backward_leaves_dy_alone():
    x, dy = torch.ones(4, 3), torch.ones(4, 3)
    y, mask = Dropout().forward({}, x, training=True)
    Dropout().backward({}, mask, dy)
    assert torch.equal(x, torch.ones(4, 3))
    assert torch.equal(dy, torch.ones(4, 3))
    assert upstream(y).shape == mask.shape


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_the_probability_is_checked(p):
    with pytest.raises(SettingError, match=r"^Dropout: p must be a number from 0 to 1, not "):
        Dropout(p)


def test_texts():
    assert Dropout().describe() == "p 0.5"
    assert Dropout(0.25).describe() == "p 0.25"
    assert (Dropout.slots, Dropout.family) == (("input",), "dropout")
