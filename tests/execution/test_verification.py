"""The bounds within which a compiled step must agree with the operators."""

from copy import deepcopy

import pytest
import torch

from graphdl.execution.agreement import MOST, ROUNDING, Bounds, Outcome, disagreement, widened

DTYPES = [torch.float32, torch.float64]


def outcome(dtype):
    """A step of SGD with a rate of 0.1 from parameters of ones; the gradient of "fc.bias" vanishes."""
    g = torch.Generator().manual_seed(0)
    gradients = {"fc.weight": torch.randn(3, 4, generator=g, dtype=dtype), "fc.bias": torch.zeros(4, dtype=dtype)}
    return Outcome(
        {
            "the loss": torch.tensor(0.7, dtype=torch.float64),
            "the value of 'fc'": torch.randn(5, 4, generator=g).to(dtype),
        },
        {"the state of the optimizer, 1": torch.cat([each.flatten() for each in gradients.values()]) * 0.1},
        {"norm.running_mean": torch.randn(4, generator=g).to(dtype), "norm.count": torch.tensor(3)},
        gradients,
        {name: 1 - 0.1 * each for name, each in gradients.items()},
    )


def compare(found, expected, dtype):
    before = {name: torch.ones_like(each) for name, each in expected.parameters.items()}
    return disagreement(found, expected, before, ROUNDING[dtype])


PLACES = [
    ("values", "the loss", "the loss"),
    ("values", "the value of 'fc'", "the value of 'fc'"),
    ("state", "the state of the optimizer, 1", "the state of the optimizer, 1"),
    ("buffers", "norm.running_mean", "the buffer norm.running_mean"),
    ("gradients", "fc.weight", "the gradient of fc.weight"),
    ("parameters", "fc.weight", "the parameter fc.weight"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=["single", "double"])
@pytest.mark.parametrize(("part", "name", "text"), PLACES, ids=[place[2] for place in PLACES])
def test_errors_beyond_the_bounds_are_named(dtype, part, name, text):
    expected = outcome(dtype)
    bounds = ROUNDING[dtype]
    for factor, wrong in ((0.2, ""), (10, text)):
        found = deepcopy(expected)
        tensor = getattr(found, part)[name]
        bound = 3 * bounds.gradients if part in ("state", "gradients") else bounds.values
        tensor.view(-1)[0] += factor * bound * tensor.abs().max()
        assert compare(found, expected, dtype) == wrong


@pytest.mark.parametrize("dtype", DTYPES, ids=["single", "double"])
def test_what_is_not_finite_must_be_the_same(dtype):
    expected, found = outcome(dtype), outcome(dtype)
    found.values["the value of 'fc'"][0, 0] = float("nan")
    assert compare(found, expected, dtype) == "the value of 'fc'"
    expected.values["the value of 'fc'"][0, 0] = float("nan")
    assert compare(found, expected, dtype) == ""


def test_counts_must_be_equal():
    expected, found = outcome(torch.float64), outcome(torch.float64)
    found.buffers["norm.count"] += 1
    assert compare(found, expected, torch.float64) == "the buffer norm.count"


@pytest.mark.parametrize("dtype", DTYPES, ids=["single", "double"])
def test_gradients_that_vanish_are_rounding_alone(dtype):
    expected, found = outcome(dtype), outcome(dtype)
    for each in (expected, found):
        each.gradients["fc.weight"].zero_()
        each.parameters["fc.weight"].fill_(1)
        each.state["the state of the optimizer, 1"].zero_()
    found.gradients["fc.bias"][0] = torch.finfo(dtype).eps / 3
    found.parameters["fc.bias"][0] -= torch.finfo(dtype).eps / 30
    assert compare(found, expected, dtype) == ""
    found.gradients["fc.bias"][0] = 100 * torch.finfo(dtype).eps
    assert compare(found, expected, dtype) == "the gradient of fc.bias"


def test_bounds_are_as_wide_as_rounding_reaches():
    expected, moved = outcome(torch.float32), outcome(torch.float32)
    bounds = ROUNDING[torch.float32]
    assert widened(bounds, [moved], expected) == bounds
    largest = expected.gradients["fc.weight"].abs().max()
    moved.gradients["fc.weight"][0, 0] += 0.011 * largest
    assert widened(bounds, [moved], expected) == Bounds(bounds.values, pytest.approx(0.02, rel=1e-3))
    moved.gradients["fc.weight"][0, 0] += largest
    assert widened(bounds, [moved], expected) == Bounds(bounds.values, MOST)


def test_gradients_near_the_largest_number_are_compared():
    expected = Outcome({}, {}, {}, *[{"a": torch.tensor([3.3e38]), "b": torch.tensor([1.0])} for _ in range(2)])
    found = Outcome({}, {}, {}, {**expected.gradients, "b": torch.tensor([-5e37])}, expected.parameters)
    assert compare(expected, expected, torch.float32) == ""
    assert compare(found, expected, torch.float32) == "the gradient of b"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_gradients_that_are_not_finite_must_be_the_same(value):
    expected, same = outcome(torch.float32), outcome(torch.float32)
    expected.gradients["fc.bias"][1] = same.gradients["fc.bias"][1] = value
    assert compare(same, expected, torch.float32) == ""
    same.gradients["fc.bias"][1] = 0.0
    assert compare(same, expected, torch.float32) == "the gradient of fc.bias"


def test_parameters_without_elements_and_no_parameters():
    empty = {"none": torch.empty(0, 3), "fc": torch.ones(2)}
    expected = Outcome({}, {}, {}, empty, empty)
    assert compare(expected, expected, torch.float32) == ""
    found = Outcome({}, {}, {}, empty, {**empty, "fc": torch.tensor([1.0, 2.0])})
    assert compare(found, expected, torch.float32) == "the parameter fc"
    assert compare(Outcome({}, {}, {}, {}, {}), Outcome({}, {}, {}, {}, {}), torch.float32) == ""
