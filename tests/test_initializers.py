import dataclasses
import math

import pytest
import torch

from graphdl import Linear, Network, initializers
from graphdl.errors import SettingError
from graphdl.initializers import (
    Constant,
    KaimingNormal,
    KaimingUniform,
    Normal,
    TypeOne,
    Uniform,
    UniformFanOut,
    VarianceScaling,
    XavierNormal,
    XavierUniform,
    Zeros,
    fans,
)
from graphdl.registry import is_registered

DENSE, CONVOLUTION = (300, 500), (40, 60, 5, 3)
SHAPES = [pytest.param(DENSE, 500, 300, id="dense"), pytest.param(CONVOLUTION, 900, 600, id="convolution")]
CASES = [
    Constant(0.5),
    Zeros(),
    Normal(1, 2),
    Uniform(-1, 2),
    VarianceScaling(2.0, "fan_avg", "normal"),
    XavierNormal(2.0),
    XavierUniform(0.5),
    KaimingNormal(mode="fan_out"),
    KaimingUniform(1.0),
    TypeOne(),
    UniformFanOut(),
]


def draw(initializer, shape, seed=0, dtype=torch.float64):
    return initializer(torch.full(shape, math.nan, dtype=dtype), torch.Generator().manual_seed(seed))


def gaussian(values):
    """The share of the values within one standard deviation: 0.6827 for a normal, 0.5774 for a uniform distribution."""
    return ((values - values.mean()).abs() < values.std()).double().mean()


def test_every_public_initializer_is_among_the_cases():
    assert {type(case).__name__ for case in CASES} == set(initializers.__all__) - {"Initializer"}


@pytest.mark.parametrize("initializer", CASES, ids=repr)
def test_an_initializer_fills_the_tensor_in_place(initializer):
    parameter = torch.full((3, 4), math.nan)
    assert initializer(parameter, torch.Generator()) is parameter
    assert parameter.isfinite().all()


@pytest.mark.parametrize("initializer", CASES, ids=repr)
def test_the_generator_alone_determines_the_values(initializer):
    torch.manual_seed(1)
    first = draw(initializer, DENSE)
    torch.manual_seed(2)
    assert draw(initializer, DENSE).equal(first)


@pytest.mark.parametrize("initializer", CASES[2:], ids=repr)
def test_another_seed_draws_other_values(initializer):
    assert not draw(initializer, DENSE, seed=1).equal(draw(initializer, DENSE, seed=2))


@pytest.mark.parametrize("initializer", CASES[2:], ids=repr)
def test_without_a_generator_torchs_own_is_drawn_from(initializer):
    torch.manual_seed(0)
    first = initializer(torch.empty(DENSE), None)
    torch.manual_seed(0)
    assert initializer(torch.empty(DENSE), None).equal(first)


@pytest.mark.parametrize("initializer", CASES, ids=repr)
def test_an_initializer_is_stored_with_a_network(initializer):
    assert is_registered(type(initializer))
    net = Network({"a": Linear(2, 3, weight=initializer, bias=initializer)}, {"x": ["a"]})
    stored = Network.from_dict(net.to_dict()).to_dict()
    assert stored == net.to_dict()
    assert stored["operators"]["a"]["weight"]["type"] == type(initializer).__name__


@pytest.mark.parametrize("initializer", CASES, ids=repr)
def test_an_initializer_is_frozen(initializer):
    with pytest.raises(dataclasses.FrozenInstanceError):
        initializer.other = 1


@pytest.mark.parametrize(
    ("initializer", "value"), [(Constant(-1.5), -1.5), (Constant(math.inf), math.inf), (Zeros(), 0)]
)
def test_constants(initializer, value):
    assert draw(initializer, (7,)).tolist() == [value] * 7


def test_normal_has_the_mean_and_the_deviation():
    values = draw(Normal(3, 0.5), DENSE)
    assert values.mean().item() == pytest.approx(3, abs=0.01)
    assert values.std().item() == pytest.approx(0.5, rel=0.01)
    assert gaussian(values).item() == pytest.approx(0.6827, abs=0.01)


def test_uniform_fills_its_interval():
    values = draw(Uniform(-1, 3), DENSE)
    assert -1 <= values.min() < -0.99
    assert 2.99 < values.max() <= 3
    assert values.mean().item() == pytest.approx(1, abs=0.02)
    assert gaussian(values).item() == pytest.approx(0.5774, abs=0.01)


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_variance_scaling_has_the_variance_scale_over_fan(mode, distribution, shape, fan_in, fan_out):
    values = draw(VarianceScaling(1.7, mode, distribution), shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    assert values.var().item() == pytest.approx(1.7 / fan, rel=0.03)
    assert values.mean().abs().item() < 5 * math.sqrt(1.7 / fan / values.numel())
    assert gaussian(values).item() == pytest.approx({"normal": 0.6827, "uniform": 0.5774}[distribution], abs=0.01)


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
def test_the_named_initializers_have_their_variances(shape, fan_in, fan_out):
    expected = {
        XavierNormal(): 2 / (fan_in + fan_out),
        XavierUniform(3.0): 18 / (fan_in + fan_out),
        KaimingNormal(): 2 / fan_in,
        KaimingUniform(): 2 / fan_in,
        KaimingUniform(0.5, "fan_out"): 0.25 / fan_out,
        TypeOne(): 1 / (math.sqrt(3) * fan_in),
        UniformFanOut(): 1 / (3 * fan_out),
    }
    for initializer, variance in expected.items():
        assert draw(initializer, shape).var().item() == pytest.approx(variance, rel=0.03), initializer


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (VarianceScaling(1 / 3), 1 / math.sqrt(500)),
        (XavierUniform(), math.sqrt(6 / 800)),
        (KaimingUniform(), math.sqrt(6 / 500)),
        (UniformFanOut(), 1 / math.sqrt(300)),
    ],
)
def test_uniform_initializers_reach_their_bound_and_no_further(initializer, bound):
    largest = draw(initializer, DENSE).abs().max().item()
    assert 0.999 * bound < largest <= bound


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (XavierNormal(2.0), lambda w: torch.nn.init.xavier_normal_(w, 2.0)),
        (XavierUniform(2.0), lambda w: torch.nn.init.xavier_uniform_(w, 2.0)),
        (KaimingNormal(), lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (
            KaimingUniform(mode="fan_out"),
            lambda w: torch.nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
        ),
    ],
    ids=["XavierNormal", "XavierUniform", "KaimingNormal", "KaimingUniform"],
)
@pytest.mark.parametrize("shape", [DENSE, CONVOLUTION])
def test_the_values_are_those_of_torch_from_the_same_seed(ours, theirs, shape):
    torch.manual_seed(5)
    expected = theirs(torch.empty(shape))
    torch.manual_seed(5)
    torch.testing.assert_close(ours(torch.empty(shape), None), expected)


def test_a_linear_is_drawn_by_default_as_torch_draws_it():
    theirs = torch.nn.Linear(400, 300)
    net = Network({"a": Linear(400, 300)}, {"x": ["a"]}, seed=0)
    for name, expected in theirs.named_parameters():
        values = net.parameters[f"a.{name}"]
        assert values.shape == expected.shape
        assert values.abs().max() <= 1 / 20
        assert values.abs().max().item() == pytest.approx(expected.abs().max().item(), rel=0.02)
    assert net.parameters["a.weight"].std().item() == pytest.approx(theirs.weight.std().item(), rel=0.01)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 5), (5, 3)), ((8, 4, 3, 3), (36, 72)), ((8, 4, 7), (28, 56)), ((6,), (6, 1)), ((), (1, 1)), ((3, 0), (0, 3))],
)
def test_fans(shape, expected):
    assert fans(torch.Size(shape)) == expected


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_an_empty_weight_is_left_empty(mode):
    assert draw(VarianceScaling(1.0, mode), (0, 0)).numel() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_initializers_fill_any_floating_point_type(dtype):
    values = draw(KaimingNormal(), DENSE, dtype=dtype)
    assert values.dtype is dtype
    assert values.double().var().item() == pytest.approx(2 / 500, rel=0.05)


@pytest.mark.parametrize("wrong", ["1", None, True, math.nan, 1j])
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda v: Normal(mean=v), "^Normal: mean must be a finite number, not "),
        (lambda v: Normal(std=v), "^Normal: std must be a finite number of at least 0, not "),
        (lambda v: Uniform(v, 1), "^Uniform: low must be a finite number, not "),
        (lambda v: Uniform(0, v), "^Uniform: high must be a finite number, not "),
        (lambda v: VarianceScaling(v), "^VarianceScaling: scale must be a finite number of at least 0, not "),
        (lambda v: XavierNormal(v), "^XavierNormal: gain must be a finite number, not "),
        (lambda v: XavierUniform(v), "^XavierUniform: gain must be a finite number, not "),
        (lambda v: KaimingNormal(v), "^KaimingNormal: gain must be a finite number, not "),
        (lambda v: KaimingUniform(v), "^KaimingUniform: gain must be a finite number, not "),
    ],
)
def test_settings_are_finite_numbers(make, text, wrong):
    with pytest.raises(SettingError, match=text):
        make(wrong)


@pytest.mark.parametrize("wrong", ["1", None, True])
def test_a_constant_is_a_number(wrong):
    with pytest.raises(SettingError, match=r"^Constant: value must be a number, not "):
        Constant(wrong)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Normal(std=-1), "^Normal: std must be a finite number of at least 0, not -1"),
        (lambda: Uniform(2, 1), "^Uniform: low must be at most high, not 2 > 1"),
        (lambda: VarianceScaling(-1), "^VarianceScaling: scale must be a finite number of at least 0, not -1"),
        (
            lambda: VarianceScaling(1, "fanin"),
            r"^VarianceScaling: mode must be 'fan_in' or .*'fanin'\. Did you mean 'fan_in'\?",
        ),
        (
            lambda: VarianceScaling(1, "fan_in", "gauss"),
            "^VarianceScaling: distribution must be 'normal' or 'uniform', not 'ga",
        ),
        (
            lambda: KaimingNormal(mode="out"),
            "^KaimingNormal: mode must be 'fan_in' or 'fan_out' or 'fan_avg', not 'out'",
        ),
        (lambda: KaimingUniform(mode=None), "^KaimingUniform: mode must be .*, not None"),
    ],
)
def test_settings_out_of_range(make, text):
    with pytest.raises(SettingError, match=text):
        make()
