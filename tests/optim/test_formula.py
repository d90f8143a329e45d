"""An optimizer has one formula: by numbers, by tensors, and by its kernel it gives the same."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from graphdl.errors import GraphDLWarning, OperatorError
from graphdl.execution.recorder import recording
from graphdl.optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Cosine,
    Gathering,
    Lion,
    NAdam,
    Numbers,
    Optimizer,
    RAdam,
    RMSProp,
    Warmup,
)
from graphdl.optim.numbers import numbers_of
from tests.optim.common import backward, batches, network, updates

OPTIMIZERS = [
    SGD(lr=0.1),
    SGD(lr=0.1, weight_decay=0.05),
    SGD(lr=0.1, momentum=0.9, weight_decay=0.05),
    SGD(lr=0.1, momentum=0.8, nesterov=True),
    Adam(lr=0.01),
    Adam(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    Adam(lr=0.02, betas=(0.0, 0.0)),
    AdamW(lr=0.05, weight_decay=0.3),
]
CHANGING = [
    Adam(lr=Cosine(0.05, steps=20), weight_decay=0.1, nodes={"fc1": {"lr": 0.01}, "*.bias": {"weight_decay": 0.0}}),
    AdamW(lr=0.05, betas=(Warmup(0.9, steps=5), 0.99), nodes={"fc2.weight": {"eps": 1e-3}}),
    SGD(lr=0.1, momentum=Cosine(0.9, steps=9), weight_decay=0.1, nesterov=True),
    SGD(lr=0.1, momentum=Cosine(0.9, steps=9), nodes={"*.bias": {"momentum": 0.0}, "fc2": {"lr": Cosine(0.2, 7)}}),
]
ADAPTIVE = [
    RMSProp(momentum=Cosine(0.9, steps=9), nodes={"fc1": {"centered": True, "momentum": 0.0}}),
    Adagrad(lr_decay=0.1, weight_decay=0.1, nodes={"*.bias": {"initial_accumulator_value": 0.5}}),
    NAdam(weight_decay=Warmup(0.1, steps=5), nodes={"fc2": {"decoupled_weight_decay": True}}),
    RAdam(lr=Cosine(0.02, steps=20), betas=(0.9, Warmup(0.95, steps=9)), nodes={"fc1": {"betas": (0.5, 0.5)}}),
    Lion(lr=Cosine(0.02, steps=20), weight_decay=0.1, nodes={"*.bias": {"betas": (0.0, 0.5)}}),
]


@dataclass(frozen=True)
class SignMomentum(Optimizer):
    momentum: float = 0.9

    def state(self, w):
        return (torch.zeros_like(w),)

    def update(self, w, g, state, s):
        u = s.momentum * state[0] + (1 - s.momentum) * g
        return w - s.lr * u.sign(), (u,)


class Rotating(Optimizer):
    """Its next state holds the old parameters, and the other's old vector."""

    def state(self, w):
        return torch.zeros_like(w), w

    def update(self, w, g, state, s):
        return w - s.lr * g + 0.1 * state[1], (w, state[0])


class Scaled(Optimizer):
    """The step has the length of the parameter: norms mix elements."""

    elementwise: ClassVar = False

    def state(self, w):
        return (torch.zeros_like(w),)

    def update(self, w, g, state, s):
        u = state[0] + g * (w.norm() / (g.norm() + 1e-9))
        return w - s.lr * u, (0.5 * u,)


CUSTOM = [SignMomentum(lr=0.01), Rotating(lr=0.05), Scaled(lr=0.01, nodes={"fc1": {"lr": 0.02}})]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)], ids=str)
def test_a_kernel_computes_the_formula(optimizer, dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(9, generator=generator, dtype=dtype)
    other, state = w.clone(), optimizer.state(w)
    kept, count = [[each.clone()] for each in state], torch.zeros(())
    for t in range(1, 30):
        g = torch.randn(9, generator=generator, dtype=dtype)
        count += 1
        s = Numbers({**numbers_of(optimizer), "t": t})
        given = w.clone(), g.clone(), *(vector.clone() for vector in state)
        new, following = optimizer.update(w, g, state, s)
        assert all(map(torch.equal, (w, g, *state), given)), "it changes what it is given"
        w, state = new, following
        optimizer.kernel([other], [g], kept, [count], s)
        for found, expected in zip((w, *state), (other, *(each for (each,) in kept)), strict=True):
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *CHANGING, *ADAPTIVE, *CUSTOM], ids=str)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.5, "clip_value": 0.1}, {"accumulate": 3, "clip_norm": 0.2}])
def test_tensors_for_numbers_give_the_same(optimizer, settings):
    one, other, data = network(), network(), batches(20)
    stepper, recorded = optimizer.bind(one), optimizer.bind(other)
    for batch in data:
        backward(one, batch)
        stepper.step(**settings)
    updates(other, recorded, data, **settings)
    assert stepper.steps == recorded.steps == 20 // settings.get("accumulate", 1)
    for name, tensor in one.parameters.items():
        torch.testing.assert_close(other.parameters[name], tensor, rtol=1e-11, atol=1e-12)
    ours, theirs = stepper.state_dict(), recorded.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"optimizer"}:
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("optimizer", [*CHANGING, *ADAPTIVE, *CUSTOM], ids=str)
def test_a_recorded_update_has_no_obstacle(optimizer):
    net = network()
    backward(net, batches(1)[0])
    stepper = optimizer.bind(net)
    moves = stepper.moves(net.reached, net.reached, Gathering(clip_norm=1.0, clip_value=1.0, accumulate=2))
    row = moves.numbers(1)[0]
    with torch.no_grad(), recording() as recorder:
        moves.formula(row)
    assert recorder.tape().obstacle == ""


@pytest.mark.parametrize("optimizer", CUSTOM, ids=str)
@pytest.mark.parametrize("large", [1, 10, 10**6])
def test_a_custom_optimizer_moves_every_parameter(optimizer, large, monkeypatch):
    monkeypatch.setattr("graphdl.optim.moves.LARGE", large)
    net = network()
    expected = {name: tensor.clone() for name, tensor in net.parameters.items()}
    states = {name: optimizer.state(tensor) for name, tensor in expected.items()}
    stepper = optimizer.bind(net)
    for t, batch in enumerate(batches(10), 1):
        backward(net, batch)
        for name, w in expected.items():
            lr = 0.02 if name.startswith("fc1") and optimizer.nodes else optimizer.lr
            s = Numbers({**numbers_of(optimizer), "lr": lr, "t": t})
            expected[name], states[name] = optimizer.update(w, net.gradients[name], states[name], s)
        stepper.step()
        for name, w in expected.items():
            torch.testing.assert_close(net.parameters[name], w, rtol=1e-12, atol=1e-13)


@dataclass(frozen=True)
class Renamed(Adam):
    """Changes nothing."""


class Doubled(SGD):
    def update(self, w, g, state, s):
        return super().update(w, 2 * g, state, s)


class Started(Adam):
    def state(self, w):
        return torch.zeros_like(w), torch.ones_like(w)


def test_a_kernel_belongs_to_its_formula():
    assert Adam().kernel is not None
    assert AdamW().kernel is not None
    assert Renamed().kernel is not None
    assert Doubled().kernel is Started().kernel is SignMomentum().kernel is None
    one, other, (batch,) = network(), network(), batches(1)
    for net, optimizer in ((one, Doubled(lr=0.1)), (other, SGD(lr=0.2))):
        backward(net, batch)
        optimizer.bind(net).step()
    torch.testing.assert_close(one.parameters["fc1.weight"], other.parameters["fc1.weight"])


def custom(update, state=lambda w: ()):
    kind = type(
        "Mine", (Optimizer,), {"state": lambda self, w: state(w), "update": lambda self, *given: update(*given)}
    )
    return kind(lr=0.1)


def step(optimizer):
    net = network()
    backward(net, batches(1)[0])
    optimizer.bind(net).step()
    return net


@pytest.mark.parametrize(
    ("update", "text"),
    [
        (lambda w, g, state, s: w.sub_(g), "Mine: update returned a Tensor; it must return"),
        (lambda w, g, state, s: None, "Mine: update returned a NoneType; it must return"),
        (lambda w, g, state, s: (w - g, (g,)), "Mine: update returned 1 state, but `state` returned 0"),
        (lambda w, g, state, s: (w.sum(), ()), r"Mine: update returned a tensor of the shape \(\)"),
        (lambda w, g, state, s: (0.0, ()), "Mine: update returned a float where a tensor is expected"),
        (lambda w, g, state, s: (w - s.lrr * g, ()), "Mine: its update failed .* no number 'lrr'. Did you mean 'lr'"),
        (lambda w, g, state, s: (w - g[:2], ()), "Mine: its update failed on .* elements: RuntimeError"),
        (lambda w, g, state, s: (w - g.mul_(2), ()), "Mine: update changes the gradient g in place"),
    ],
)
def test_a_wrong_update_is_named(update, text):
    with pytest.raises(OperatorError, match=text):
        step(custom(update))


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (lambda w: w, "Mine: state returned a Tensor; it must return a tuple"),
        (lambda w: (w[:1],), r"Mine: state returned a tensor of the shape \(1,\)"),
        (lambda w: (0,), "Mine: state returned a int"),
    ],
)
def test_a_wrong_state_is_named(state, text):
    with pytest.raises(OperatorError, match=text):
        step(custom(lambda w, g, state, s: (w - g, state), state))


def test_an_optimizer_that_changes_nothing_is_reported_once():
    net = network()
    stepper = custom(lambda w, g, state, s: (w, ())).bind(net)
    backward(net, batches(1)[0])
    with pytest.warns(GraphDLWarning, match="Mine: the first update changed no parameter") as caught:
        stepper.step()
    assert [each.filename for each in caught] == [__file__]
    stepper.step()


@pytest.mark.parametrize("optimizer", [SGD(lr=0.0), custom(lambda w, g, state, s: (w - s.lr * g, ()))], ids=str)
def test_one_that_has_nothing_to_do_is_not_reported(optimizer):
    net = network()
    backward(net, batches(1)[0])
    stepper = optimizer.bind(net)
    if optimizer.lr:
        for name in net.gradients:
            net.gradients[name] = torch.zeros_like(net.gradients[name])
    stepper.step()
    stepper.step()


def test_an_update_in_place_is_kept():
    net = step(custom(lambda w, g, state, s: (w.sub_(s.lr * g), ())))
    other = step(SGD(lr=0.1))
    torch.testing.assert_close(net.parameters["fc1.weight"], other.parameters["fc1.weight"], rtol=1e-14, atol=1e-14)
