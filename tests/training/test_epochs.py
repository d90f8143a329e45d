"""Compiled epochs that fit makes at once, where nothing is to be done at the end of each."""

import warnings

import pytest
import torch

from graphdl import CrossEntropyLoss, Dropout, Linear, Network, Tanh, fit
from graphdl.data import disc
from graphdl.errors import NonFiniteError
from graphdl.optim import L2, SGD, Adam, Exponential, Warmup
from graphdl.training import epochs
from tests.twins import needs_compiler

pytestmark = needs_compiler
X, LABELS = disc(120, seed=0)


def make_net(middle=None):
    operators = {"fc1": Linear(2, 7), "middle": middle or Tanh(), "fc2": Linear(7, 2), "loss": CrossEntropyLoss()}
    connectivity = {"x": ["fc1"], "fc1": ["middle"], "middle": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=0)


@pytest.fixture(autouse=True)
def ten_epochs_at_once(monkeypatch):
    monkeypatch.setattr(epochs, "STEPS_AHEAD", 60)


def train(net, optimizer=None, **changes):
    options = {"epochs": 25, "batch_size": 20, "compile": True, "progress": False, **changes}
    return fit(net, X, LABELS, optimizer=optimizer or Adam(lr=0.01), **options)


def epoch_by_epoch(net, optimizer=None, **changes):
    """A callback wants to see every epoch."""
    return train(net, optimizer, callbacks=[lambda net, history: None], **changes)


def assert_same(one, other):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert torch.equal(one.generator.get_state(), other.generator.get_state())


@pytest.mark.parametrize("middle", [Tanh(), Dropout(0.3)], ids=["Tanh", "dropout"])
def test_the_history_and_the_network_are_the_same(middle, made_ahead):
    one, many = make_net(middle), make_net(middle)
    expected = epoch_by_epoch(one, metrics=("accuracy",), seed=1)
    assert made_ahead == []
    found = train(many, metrics=("accuracy",), seed=1)
    assert made_ahead == [10, 10, 4]
    assert dict(found) == dict(expected)
    assert found.epochs == 25
    assert_same(one, many)


def test_a_stepper_goes_on_bit_for_bit(made_ahead):
    one, many = make_net(), make_net()
    stepper = Adam(lr=0.01).bind(many)
    train(one, Adam(lr=0.01), epochs=25)
    train(many, stepper, epochs=12)
    train(many, stepper, epochs=13)
    assert made_ahead == [10, 10, 4, 10, 10, 2]
    assert_same(one, many)


def test_a_loss_that_is_not_finite_ends_it_before_the_same_step(made_ahead):
    one, many = make_net(), make_net()
    growing = SGD(lr=Exponential(1e-3, 3.0))
    with pytest.raises(NonFiniteError) as expected:
        epoch_by_epoch(one, growing)
    with pytest.raises(NonFiniteError) as found:
        train(many, growing)
    assert str(found.value) == str(expected.value)
    assert len(made_ahead) == 2, "it happens after more than ten epochs"
    assert_same(one, many)


@pytest.mark.parametrize(
    "looking", [{"validation": (X, LABELS)}, {"penalties": (L2(1e-3),)}, {"accumulate": 4}, {"batch_size": 50}], ids=str
)
def test_where_something_is_done_at_the_end_of_an_epoch_it_is_made_alone(looking, made_ahead):
    train(make_net(), epochs=5, **looking)
    assert made_ahead == []


def test_the_indices_that_are_held_are_bounded(made_ahead, monkeypatch):
    monkeypatch.setattr(epochs, "ROWS_AHEAD", 400)
    train(make_net(), epochs=8)
    assert made_ahead == [3, 3]


WARMING = Warmup(0.03, steps=1, then=Exponential(0.03, 0.9), start=0.0)


ONE_WARMING = SGD(lr=0.1, nodes={"fc2": {"lr": WARMING}})
"""Under a Dropout of everything, the other node has no gradient."""


@pytest.mark.parametrize(("optimizer", "middle"), [(SGD(lr=WARMING), Tanh()), (ONE_WARMING, Dropout(1.0))])
def test_a_rate_of_zero_in_the_first_update_is_not_reported(optimizer, middle):
    """A block ends in the middle of the second update, whose rate is not 0."""
    net = make_net(middle)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(net, optimizer, epochs=2, accumulate=3, batch_size=24)
