"""Compiled training where a review found it to be wrong."""

import gc
import itertools
import weakref

import pytest
import torch

from graphdl import BatchNorm1d, Linear, MSELoss, Network, Operator, Parameter, fit
from graphdl.errors import NonFiniteError
from graphdl.initializers import Constant
from graphdl.optim import SGD, Optimizer
from tests.twins import needs_compiler

pytestmark = [needs_compiler, pytest.mark.filterwarnings("error::graphdl.errors.GraphDLWarning")]

X, Y = (torch.rand(40, 2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))


def network(middle=None, **settings):
    operators = {"fc1": Linear(2, 4), **({"middle": middle} if middle else {}), "fc2": Linear(4, 2), "loss": MSELoss()}
    keys = ["x", *operators]
    edges = {one: [other] for one, other in itertools.pairwise(keys)}
    return Network(operators, edges | {"y": ["loss"]}, seed=0, **settings)


def both(make, data=None, **settings):
    """The state after training compiled, and by the operators."""
    states = []
    for compile_it in (True, False):
        net = make()
        given = {"epochs": 3, "batch_size": 4, "shuffle": False, "optimizer": SGD(lr=0.1)} | settings
        given = {name: value() if name == "callbacks" else value for name, value in given.items()}
        fit(net, data or {"x": X, "y": Y}, compile=compile_it, progress=False, **given)
        states.append(net.state_dict())
    return states


def assert_same(states):
    for name, tensor in states[1].items():
        torch.testing.assert_close(states[0][name], tensor, rtol=1e-4, atol=1e-5)


def test_what_is_frozen_between_blocks_stays():
    net, held = network(), []

    class Freezing:
        def on_step_end(self, net, stepper, history):
            if not held:
                net.freeze("fc1")
                held.append(net.parameters["fc1.weight"].clone())

    fit(net, {"x": X, "y": Y}, optimizer=SGD(lr=0.1), epochs=3, batch_size=4, compile=True, callbacks=[Freezing()])
    assert torch.equal(net.parameters["fc1.weight"], held[0])


class Floored(Operator):
    def forward(self, p, x, *, training):
        return x + torch.div(x, 0.1, rounding_mode="floor") * 0.01, None

    def backward(self, p, saved, dy):
        return (dy,), {}


def test_division_that_rounds_down():
    x = torch.ones(12, 2)
    x[:4] = 0.55

    def make():
        operators = {"floored": Floored(), "fc": Linear(2, 2), "loss": MSELoss()}
        return Network(operators, {"x": ["floored"], "floored": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)

    assert_same(both(make, {"x": x, "y": Y[:12]}))


COUNTS, FIRST = torch.tensor([2, 3, 2, 1]), torch.zeros(4, 1, dtype=torch.int64)


class Rounded(Operator):
    def forward(self, p, x, *, training):
        limited = torch.scatter(x, 1, FIRST, float("-inf")).clamp_min(-1)
        return torch.round(limited, decimals=1) + 0.1 * 2**COUNTS + 0.01 * COUNTS**COUNTS, None

    def backward(self, p, saved, dy):
        return (dy,), {}


def test_arguments_that_a_form_does_not_know_are_left_to_torch():
    assert_same(both(lambda: network(Rounded())))


RATE = [0.1]


class Mine(Optimizer):
    def state(self, w):
        return ()

    def update(self, w, g, state, s):
        return w - RATE[0] * g, ()


def test_a_custom_optimizer_that_changes_is_noticed():
    def halve(net, history):
        RATE[0] *= 0.5

    def callbacks():
        RATE[0] = 0.4
        return [halve]

    with pytest.warns(match="makes other calls than at first"):
        assert_same(both(network, optimizer=Mine(), callbacks=callbacks))


class Norms(Optimizer):
    def state(self, w):
        return ()

    def update(self, w, g, state, s):
        return w - 0.1 * g / (1 + torch._foreach_norm([g])[0]), ()


def test_calls_on_lists_without_a_form():
    assert_same(both(network, optimizer=Norms()))


def test_buffers_stay_where_the_first_loss_is_not_finite():
    net = network(BatchNorm1d(4))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(NonFiniteError):
        fit(net, {"x": X, "y": Y * float("inf")}, optimizer=SGD(), epochs=1, batch_size=4, compile=True)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


class Held(Operator):
    """A parameter as it is."""

    def parameters(self):
        return {"w": Parameter((4, 2), Constant(0.5))}

    def forward(self, p, x, *, training):
        return p["w"] if training else p["w"].clone(), x.shape

    def backward(self, p, shape, dy):
        return (dy.new_zeros(shape),), {"w": dy}


def test_a_prediction_that_is_a_parameter():
    def make():
        edges = {"x": ["held"], "held": ["loss"], "y": ["loss"]}
        return Network({"held": Held(), "loss": MSELoss()}, edges, seed=0)

    assert_same(both(make, {"x": X, "y": Y}))


def test_memory_does_not_wait_for_the_garbage_collector():
    net = network()
    steps = net.compile(SGD(), {"x": X[:4], "y": Y[:4]})
    steps({"x": X.view(10, 4, 2), "y": Y.view(10, 4, 2)})
    workspace = weakref.ref(steps._workspace)
    gc.disable()
    try:
        del steps
        assert workspace() is None
    finally:
        gc.enable()
