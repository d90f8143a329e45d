"""BFGS against the formulas written out in numpy."""

from dataclasses import dataclass
from typing import ClassVar

import numpy
import pytest
import torch

from graphdl import Linear, MSELoss, Network, fit
from graphdl.errors import MissingInputError, OperatorError, SettingError, ShapeError, UnknownNodeError
from graphdl.optim import BFGS, SGD, Cosine, Optimizer
from tests.optim.common import assert_same, backward, batches, network, twin, updates
from tests.twins import needs_compiler


def vector(tensors):
    return numpy.concatenate([tensor.double().numpy().ravel() for tensor in tensors.values()])


class Written:
    """H, w and g as in Nocedal and Wright, equation 6.17, with matrices written out."""

    def __init__(self, w, lr, curvature=1e-10):
        self.w, self.lr, self.curvature, self.H = w.copy(), lr, curvature, numpy.eye(len(w))
        self.before, self.skipped = None, 0

    def step(self, g):
        if self.before is not None:
            s, y = self.w - self.before[0], g - self.before[1]
            if s @ y > self.curvature * numpy.linalg.norm(s) * numpy.linalg.norm(y):
                left = numpy.eye(len(s)) - numpy.outer(s, y) / (s @ y)
                self.H = left @ self.H @ left.T + numpy.outer(s, s) / (s @ y)
            else:
                self.skipped += 1
        self.before = self.w, g
        self.w = self.w - self.lr * self.H @ g


@pytest.mark.parametrize("data", [batches(1) * 30, batches(30)], ids=["one batch", "mini-batches"])
@pytest.mark.parametrize("curvature", [1e-10, 0.1])
@pytest.mark.parametrize("lr", [0.1, Cosine(0.2, steps=30)], ids=["constant", "schedule"])
def test_as_the_formulas_in_numpy(data, curvature, lr):
    one, other, optimizer = network(), network(), BFGS(lr=lr, curvature=curvature)
    stepper, written = optimizer.bind(one), Written(vector(one.parameters), 0.1, curvature)
    for k, batch in enumerate(data):
        backward(one, batch)
        written.lr = lr.at(k) if isinstance(lr, Cosine) else lr
        written.step(vector(one.gradients))
        stepper.step()
        numpy.testing.assert_allclose(vector(one.parameters), written.w, rtol=1e-8, atol=1e-8)
    numpy.testing.assert_allclose(stepper.state_dict()["state.1"], written.H, rtol=1e-6, atol=1e-6)
    assert bool(written.skipped) is (data[0] is not data[1])
    updates(other, optimizer.bind(other), data)
    numpy.testing.assert_allclose(vector(other.parameters), written.w, rtol=1e-8, atol=1e-8)


def quadratic(dtype=torch.float64):
    """Least squares: the loss is a quadratic of 3 parameters."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 2, generator=generator, dtype=dtype)
    y = (
        x @ torch.tensor([[3.0], [-1.0]], dtype=dtype)
        + 0.5
        + 0.1 * torch.randn(40, 1, generator=generator, dtype=dtype)
    )
    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    best = torch.linalg.lstsq(torch.cat([x, torch.ones_like(y)], 1), y).solution.flatten()
    return net.to(dtype=dtype), {"x": x, "y": y}, best


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=str)
def test_it_finds_the_minimum_of_a_quadratic(dtype, tolerance):
    net, data, best = quadratic(dtype)
    fit(net, data, optimizer=BFGS(lr=0.5), epochs=60, batch_size=40, progress=False)
    found = torch.cat([net.parameters["fc.weight"].flatten(), net.parameters["fc.bias"]])
    torch.testing.assert_close(found, best, rtol=0, atol=tolerance)


@pytest.mark.parametrize("gathering", [{}, {"clip_norm": 0.3, "accumulate": 2}])
@pytest.mark.parametrize("way", ["replayed", pytest.param("compiled", marks=needs_compiler)])
def test_every_way_makes_the_same_steps(way, gathering, monkeypatch):
    x, y = (torch.cat(tensors) for tensors in zip(*batches(20), strict=True))
    found = []
    for chosen in ("operators", way):
        monkeypatch.setattr("graphdl.training.recording.SIGHTS", 10**9 if chosen == "operators" else 3)
        net = network()
        fit(
            net, {"x": x, "target": y}, optimizer=BFGS(lr=0.1, curvature=0.1), epochs=2, batch_size=7,
            compile=chosen == "compiled", progress=False, **gathering,
        )  # fmt: skip
        found.append(vector(net.parameters))
    numpy.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-9)


@needs_compiler
def test_compiled_steps_of_a_custom_loop():
    x, y = (torch.stack(tensors) for tensors in zip(*batches(12), strict=True))
    one, other, optimizer = network(), network(), BFGS(lr=0.1, curvature=0.1)
    one.compile(optimizer, {"x": x[0], "target": y[0]})({"x": x, "target": y})
    stepper = optimizer.bind(other)
    for batch in batches(12):
        backward(other, batch)
        stepper.step()
    numpy.testing.assert_allclose(vector(one.parameters), vector(other.parameters), rtol=1e-9, atol=1e-9)


def test_frozen_nodes_stay_and_the_matrix_starts_anew():
    net, (batch,) = network(), batches(1)
    before = net.state_dict()
    stepper = BFGS(lr=0.1).bind(net)

    def step(count):
        for _ in range(count):
            backward(net, batch)
            stepper.step()

    net.freeze("fc1")
    step(3)
    assert all(torch.equal(net.parameters[name], before[name]) == name.startswith("fc1") for name in before)
    state = stepper.state_dict()
    assert state["parameters"] == ["fc2.weight", "fc2.bias"]
    assert state["state.1"].shape == (18, 18)
    net.unfreeze("fc1")
    written = Written(vector(net.parameters), 0.1)
    backward(net, batch)
    written.step(vector(net.gradients))
    step(1)
    numpy.testing.assert_allclose(vector(net.parameters), written.w, rtol=1e-12)
    assert stepper.state_dict()["state.1"].shape == (50, 50)


def test_state_is_kept_and_restored():
    one, other, data = network(), network(), batches(12)
    stepper = BFGS(lr=0.1).bind(one)
    for batch in data[:6]:
        backward(one, batch)
        stepper.step()
    other.load_state_dict(one.state_dict())
    resumed = BFGS(lr=0.1).bind(other)
    resumed.load_state_dict(stepper.state_dict())
    assert resumed.steps == 6
    for batch in data[6:]:
        for net, each in ((one, stepper), (other, resumed)):
            backward(net, batch)
            each.step()
    assert all(torch.equal(other.parameters[name], tensor) for name, tensor in one.parameters.items())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"optimizer": "SGD"}, SettingError, "belongs to SGD, not to BFGS"),
        ({"parameters": ["fc1.weigth"]}, UnknownNodeError, "no parameter is called 'fc1.weigth'. Did you mean"),
        ({"parameters": ["fc1.weight"]}, ShapeError, r"state.1 has the shape \(24, 24\)"),
        ({"state.4": torch.ones(1)}, SettingError, "no state called 'state.4'"),
        ({"step": -1}, SettingError, "step must be a number of updates"),
        ({"parameters": None}, MissingInputError, "no parameters"),
    ],
)
def test_a_wrong_state_is_refused_and_nothing_changes(change, error, text):
    net, (batch,) = network(), batches(1)
    backward(net, batch)
    stepper = BFGS().bind(net)
    stepper.step()
    before = stepper.state_dict()
    wrong = {name: value for name, value in {**before, **change}.items() if value is not None}
    with pytest.raises(error, match=text):
        stepper.load_state_dict(wrong)
    for name, value in stepper.state_dict().items():
        assert torch.equal(value, before[name]) if isinstance(value, torch.Tensor) else value == before[name]


def test_the_memory_is_stated_and_refused_before_it_is_taken(monkeypatch):
    assert BFGS().memory(1000) == 2 * 4_000_000
    assert BFGS().memory(1000, torch.float64) == 2 * 8_000_000
    net, (batch,) = network(), batches(1)
    backward(net, batch)
    BFGS(max_bytes=2 * 8 * 50**2).bind(net).step()
    monkeypatch.setattr(torch, "eye", lambda *a, **k: pytest.fail("allocated"))
    text = "the inverse Hessian of 50 parameters needs 20,000 bytes, .* 40,000 bytes, more than max_bytes=39,999. Raise"
    with pytest.raises(SettingError, match=text):
        BFGS(max_bytes=2 * 8 * 50**2 - 1).bind(net).step()
    with pytest.raises(SettingError, match="inverse Hessian of 1,001,000 parameters needs 4,008,004,000,000 bytes"):
        fit(
            Network({"fc": Linear(1000, 1000), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}),
            {"x": torch.ones(1, 1000), "y": torch.ones(1, 1000)},
            optimizer=BFGS(), epochs=1, batch_size=1, progress=False,
        )  # fmt: skip


def test_its_cost_has_the_matrix():
    net = network()
    plain, cost = (net.cost({"x": (7, 3), "target": (7, 2)}, optimizer=each) for each in (SGD(), BFGS()))
    assert 8 * 50**2 < cost.peak - plain.peak < 1.1 * 8 * 50**2
    assert cost.states == 8 * 50**2 + 2 * 8 * 50


def test_settings():
    with pytest.raises(SettingError, match="BFGS: an update couples all parameters, so nodes= cannot be used"):
        BFGS(nodes={"fc1": {"lr": 0.1}})
    with pytest.raises(SettingError, match="max_bytes must be a whole number of at least 1"):
        BFGS(max_bytes=0)


@dataclass(frozen=True)
class Normalized(Optimizer):
    """Steps of one length, for all parameters together, that counts in a state of another shape."""

    joint: ClassVar = True

    def state(self, w):
        return (torch.zeros(2, dtype=w.dtype),)

    def update(self, w, g, state, s):
        return w - s.lr * g / g.norm(), (state[0] + 1,)


def test_a_custom_joint_optimizer():
    net, data = network(), batches(5)
    model = twin(net)
    stepper = Normalized(lr=0.1).bind(net)
    for batch in data:
        backward(net, batch)
        norm = torch.cat([tensor.flatten() for tensor in net.gradients.values()]).norm()
        for tensor, gradient in zip(model.parameters(), net.gradients.values(), strict=True):
            tensor.data -= 0.1 * gradient / norm
        stepper.step()
        assert_same(net, model, 1e-12)
    assert stepper.state_dict()["state.1"].tolist() == [5.0, 5.0]


def test_a_joint_state_of_another_shape_is_refused():
    class Growing(Normalized):
        def update(self, w, g, state, s):
            return w - s.lr * g, (torch.cat([state[0], state[0]]),)

    net, (batch,) = network(), batches(1)
    backward(net, batch)
    with pytest.raises(OperatorError, match=r"Growing: update returned a tensor of the shape \(4,\); it must have the"):
        Growing().bind(net).step()
