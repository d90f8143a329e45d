from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from graphdl import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
    Flatten,
    GaussianNoise,
    Linear,
    MSELoss,
    Network,
    check_gradients,
    fit,
)
from graphdl.errors import SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check


def dropout(operator):
    def reference(p, x, drawn=None):
        if drawn is None:
            return x * 1
        return x * drawn.to(x.dtype) * (1 / (1 - operator.p) if operator.p < 1 else 0)

    return reference


def alpha_dropout(operator):
    """The formula of torch.nn.AlphaDropout for a mask."""

    def reference(p, x, drawn=None):
        if drawn is None:
            return x * 1
        alpha, mask = 1.7580993408473766, drawn.to(x.dtype)
        a = 1 / ((alpha**2 * operator.p + 1) * (1 - operator.p)) ** 0.5
        return x * mask * a + (mask - 1) * alpha * a + alpha * a * operator.p

    return reference


def noise(p, x, drawn=None):
    return x * 1 if drawn is None else x + drawn


def case(name, operator, shape, reference=None, **settings):
    return Case(name, operator, [shape], reference or dropout(operator), **settings)


def alpha(name, operator, shape, **settings):
    return case(name, operator, shape, alpha_dropout(operator), **settings)


CASES = [
    *(case(f"{len(shape)}d", Dropout(), shape) for shape in [(5,), (4, 3), (2, 3, 3), (2, 3, 2, 2)]),
    case("seldom", Dropout(0.1), (4, 3)),
    case("often", Dropout(p=0.8), (4, 5)),
    case("never", Dropout(0), (4, 3)),
    case("evaluated", Dropout(0.4), (4, 3), training=False),
    case("sequences", Dropout1d(), (4, 3, 2)),
    case("images", Dropout2d(0.3), (4, 3, 2, 2)),
    case("volumes", Dropout3d(), (2, 3, 2, 1, 2)),
    case("images-never", Dropout2d(0), (2, 3, 2, 2)),
    case("images-evaluated", Dropout2d(), (2, 3, 2, 2), training=False),
    alpha("alpha", AlphaDropout(), (4, 3)),
    alpha("alpha-seldom", AlphaDropout(0.2), (2, 3, 2, 2)),
    alpha("alpha-evaluated", AlphaDropout(), (4, 3), training=False),
    alpha("features", FeatureAlphaDropout(), (4, 3, 2)),
    alpha("features-vectors", FeatureAlphaDropout(0.3), (4, 3)),
    case("noise", GaussianNoise(), (4, 3), noise),
    case("noise-large", GaussianNoise(2.0), (2, 3, 2, 2), noise),
    case("noise-none", GaussianNoise(0), (4, 3), noise),
    case("noise-evaluated", GaussianNoise(), (4, 3), noise, training=False),
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


CHANNELS = [
    (Dropout1d(), (40, 30, 5)),
    (Dropout2d(), (40, 30, 5, 4)),
    (Dropout3d(), (40, 30, 5, 4, 3)),
    (FeatureAlphaDropout(), (40, 30, 5)),
]


@pytest.mark.parametrize(("operator", "shape"), CHANNELS, ids=lambda each: type(each).__name__)
def test_channels_are_dropped_as_a_whole(operator, shape):
    x = torch.ones(shape)
    mask = operator.draw(x, generator=torch.Generator().manual_seed(0))
    assert mask.shape == (40, 30, *[1] * (len(shape) - 2))
    y, _ = operator.forward({}, x, training=True, drawn=mask)
    flat = y.flatten(2)
    assert torch.equal(flat.amin(2), flat.amax(2))
    assert (flat[..., 0] == flat.min()).double().mean().item() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("operator", "shape", "layout"), [
    (Dropout1d(), (4, 3), r"\(n, c, t\)"), (Dropout2d(), (4, 3, 2), r"\(n, c, h, w\)"),
    (Dropout3d(), (4, 3, 2, 2), r"\(n, c, d, h, w\)"), (Dropout2d(0.0), (4, 3), r"\(n, c, h, w\)"),
    (FeatureAlphaDropout(), (4,), r"\(n, c, \.\.\.\)"),
])  # fmt: skip
@pytest.mark.parametrize("training", [True, False])
def test_an_input_without_channels_is_refused(operator, shape, layout, training):
    net = Network({"drop": operator}, {"x": ["drop"]})
    message = rf"drop \(\w+\) cannot take its inputs: the input has .* from the input x\. Expected {layout}"
    with pytest.raises(ShapeError, match=message):
        net.forward(torch.zeros(shape), training=training)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("kind", [AlphaDropout, FeatureAlphaDropout])
def test_alpha_dropout_keeps_mean_and_variance(kind, p):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 200, generator=generator, dtype=torch.float64)
    y, _ = kind(p).forward({}, x, training=True, drawn=kind(p).draw(x, generator=generator))
    assert y.mean().item() == pytest.approx(0, abs=0.02)
    assert y.var().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", [AlphaDropout, Dropout2d, FeatureAlphaDropout])
def test_probability_1_gives_zeros_as_in_torch(kind):
    x = torch.randn(2, 3, 2, 2)
    y, mask = kind(1.0).forward({}, x, training=True)
    assert torch.equal(y, getattr(nn, kind.__name__)(1.0)(x))
    assert torch.equal(kind(1.0).backward({}, mask, x)[0][0], torch.zeros_like(x))


@pytest.mark.parametrize("kind", [AlphaDropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout])
def test_arguments_are_torch_s(kind):
    parameters = inspect.signature(kind).parameters
    assert [*parameters, "inplace"] == [*inspect.signature(getattr(nn, kind.__name__)).parameters]
    assert parameters["p"].default == 0.5


def test_the_values_of_alpha_dropout_are_torch_s():
    torch.manual_seed(0)
    x = torch.ones(1000, dtype=torch.float64)
    expected = nn.AlphaDropout(0.3)(x).unique()
    torch.testing.assert_close(AlphaDropout(0.3).forward({}, x, training=True)[0].unique(), expected)


def test_noise_is_normal_and_drawn_from_the_generator_of_the_network():
    x = torch.zeros(400, 100)
    a, b, c = (Network({"noise": GaussianNoise(0.3)}, {"x": ["noise"]}, seed=seed) for seed in (0, 0, 1))
    state = torch.get_rng_state()
    first = a.forward(x)["noise"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, b.forward(x)["noise"])
    assert not torch.equal(first, c.forward(x)["noise"])
    assert not torch.equal(first, a.forward(x)["noise"])
    assert first.mean().item() == pytest.approx(0, abs=0.01)
    assert first.std().item() == pytest.approx(0.3, abs=0.01)
    assert a.predict(x) is x or torch.equal(a.predict(x), x)
    assert GaussianNoise(0).draw(x, generator=None) is None


@pytest.mark.parametrize(
    "operator", [Dropout2d(0.4), AlphaDropout(0.4), FeatureAlphaDropout(0.4), GaussianNoise()], ids=repr
)
@pytest.mark.parametrize("compile_", [False, True], ids=["replayed", "compiled"])
def test_training_goes_on_the_same_in_every_way(operator, compile_):
    """What a fit computes is what a loop of forward, backward and step computes, with the same random numbers."""
    chain = {"drop": operator, "flat": Flatten(), "out": Linear(12, 1), "loss": MSELoss()}
    edges = {"x": ["drop"], "drop": ["flat"], "flat": ["out"], "out": ["loss"], "y": ["loss"]}
    generator = torch.Generator().manual_seed(0)
    data = {"x": torch.randn(8, 3, 2, 2, generator=generator), "y": torch.randn(8, 1, generator=generator)}
    net, twin = Network(chain, edges, seed=0), Network(chain, edges, seed=0)
    settings = {"epochs": 6, "batch_size": 8, "shuffle": False, "progress": False, "compile": compile_}
    fit(net, data, optimizer=SGD(lr=0.1), **settings)
    stepper = SGD(lr=0.1).bind(twin)
    for _ in range(6):
        twin.forward(data)
        twin.backward()
        stepper.step()
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor)


@pytest.mark.parametrize("std", [-0.1, float("nan"), "0.5", None])
def test_the_deviation_is_checked(std):
    with pytest.raises(SettingError, match=r"^GaussianNoise: std must be a finite number of at least 0, not "):
        GaussianNoise(std)


def test_texts():
    assert Dropout().describe() == "p 0.5"
    assert Dropout(0.25).describe() == "p 0.25"
    assert (Dropout.slots, Dropout.family) == (("input",), "dropout")
    assert (AlphaDropout().describe(), GaussianNoise().describe()) == ("p 0.5", "std 0.1")
