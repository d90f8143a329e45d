"""fit with schedules, settings by node and gathered gradients: as torch.optim, in every way a step is made."""

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from graphdl import Linear, MSELoss, Network, Tanh, fit
from graphdl.errors import GraphDLWarning, SettingError
from graphdl.execution import replay
from graphdl.execution.compiled import CompiledSteps
from graphdl.optim import SGD, Adam, AdamW, Cosine, Optimizer, Warmup
from graphdl.training import ReduceOnPlateau
from graphdl.training.recording import Recording
from tests.optim.common import assert_same, network, twin

generator = torch.Generator().manual_seed(0)
X = torch.randn(60, 3, generator=generator, dtype=torch.float64)
Y = torch.randn(60, 2, generator=generator, dtype=torch.float64)
WAYS = ["operators", "replayed", "recomputed", "compiled"]
BATCH = 6


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Settings of fit that make steps in one way."""
    if request.param == "operators":
        monkeypatch.setattr(replay, "MOST_BYTES", -1)
    made, run, replayed = [], CompiledSteps.call, Recording._replay
    monkeypatch.setattr(CompiledSteps, "call", lambda *given: made.append("compiled") or run(*given))
    monkeypatch.setattr(Recording, "_replay", lambda *given: made.append("replayed") or replayed(*given))
    yield {"recomputed": {"recompute": ["tanh"]}, "compiled": {"compile": True}}.get(request.param, {})
    assert set(made) - {"replayed"} == {request.param} & {"compiled"}
    assert request.param != "replayed" or "replayed" in made
    assert request.param != "operators" or not made


def train(net, optimizer, epochs, way, **settings):
    given = {"batch_size": BATCH, "shuffle": False, "progress": False, "threads": 1, **way, **settings}
    return fit(net, {"x": X, "target": Y}, optimizer=optimizer, epochs=epochs, **given)


def descend(model, reference, epochs, scheduler=None, clip_norm=None, clip_value=None, accumulate=1):
    """The same in torch, with an update of what is left at the end of an epoch."""
    for _ in range(epochs):
        count, starts = 0, list(range(0, len(X), BATCH))
        for k, start in enumerate(starts):
            left = min(accumulate, len(starts) - k // accumulate * accumulate)
            (nn.functional.mse_loss(model(X[start : start + BATCH]), Y[start : start + BATCH]) / left).backward()
            count += 1
            if count == left:
                if clip_value:
                    nn.utils.clip_grad_value_(model.parameters(), clip_value)
                if clip_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
                reference.step()
                reference.zero_grad()
                if scheduler is not None:
                    scheduler.step()
                count = 0


@pytest.mark.parametrize(
    "settings",
    [{}, {"clip_norm": 0.2}, {"clip_value": 0.02}, {"accumulate": 5}, {"accumulate": 4, "clip_norm": 0.1}],
    ids=str,
)
def test_gradients_together(settings, way):
    net = network()
    model = twin(net)
    reference = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(net, AdamW(lr=0.01), 4, way, **settings)
    descend(model, reference, 4, **settings)
    assert_same(net, model, 1e-9)


def test_a_schedule_and_settings_by_node(way):
    net = network()
    model = twin(net)
    schedule = Warmup(0.05, steps=7, then=Cosine(0.05, steps=33))
    optimizer = SGD(lr=schedule, momentum=0.9, nodes={"fc1": {"weight_decay": 0.1}, "*.bias": {"momentum": 0.0}})
    train(net, optimizer, 4, way)
    groups = [
        {"params": [model[0].weight], "weight_decay": 0.1, "momentum": 0.9},
        {"params": [model[0].bias], "weight_decay": 0.1},
        {"params": [model[2].weight], "momentum": 0.9},
        {"params": [model[2].bias]},
    ]
    reference = torch.optim.SGD(groups, lr=0.05)
    warmup = lr_scheduler.LinearLR(reference, total_iters=7)
    then = lr_scheduler.CosineAnnealingLR(reference, 33)
    descend(model, reference, 4, lr_scheduler.SequentialLR(reference, [warmup, then], milestones=[7]))
    assert_same(net, model, 1e-9)


class Heavy(Optimizer):
    """A custom optimizer whose next state holds the old parameters."""

    def state(self, w):
        return torch.zeros_like(w), w.clone()

    def update(self, w, g, state, s):
        u = 0.9 * state[0] + g
        return w - s.lr / s.t**0.5 * u + 0.01 * (w - state[1]), (u, w)


def test_a_custom_optimizer(way):
    net, other = network(), network()
    train(net, Heavy(lr=0.02), 4, way, clip_norm=0.5)
    stepper = Heavy(lr=0.02).bind(other)
    for _ in range(4):
        for start in range(0, len(X), BATCH):
            other.forward({"x": X[start : start + BATCH], "target": Y[start : start + BATCH]})
            other.backward()
            stepper.step(clip_norm=0.5)
    for name, tensor in other.parameters.items():
        torch.testing.assert_close(net.parameters[name], tensor, rtol=1e-10, atol=1e-11)


OPTIMIZERS = [
    Adam(lr=Cosine(0.05, steps=70)),
    SGD(lr=0.1, momentum=0.9, nodes={"fc2": {"momentum": 0.0}}),
    Heavy(lr=0.02),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["adam", "sgd", "custom"])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 3, "clip_norm": 0.3}], ids=str)
@pytest.mark.parametrize("shuffle", [False, True])
def test_five_epochs_twice_are_ten(optimizer, settings, shuffle, way):
    once, twice = network(), network()
    whole = optimizer.bind(once)
    train(once, whole, 10, way, shuffle=shuffle, **settings)
    stepper = optimizer.bind(twice)
    train(twice, stepper, 5, way, shuffle=shuffle, **settings)
    train(twice, stepper, 5, way, shuffle=shuffle, **settings)
    for name, tensor in once.parameters.items():
        assert torch.equal(twice.parameters[name], tensor), name
    ours, theirs = whole.state_dict(), stepper.state_dict()
    assert ours["step"] == theirs["step"] == (10 * 4 if settings else 100)
    for name in ours.keys() - {"optimizer"}:
        assert torch.equal(torch.as_tensor(theirs[name]), torch.as_tensor(ours[name])), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["adam", "sgd", "custom"])
def test_a_state_that_was_stored_goes_on(optimizer, way):
    once, first = network(), network()
    train(once, optimizer, 6, way)
    stepper = optimizer.bind(first)
    train(first, stepper, 3, way)
    second = network()
    second.load_state_dict(first.state_dict())
    resumed = optimizer.bind(second)
    resumed.load_state_dict(stepper.state_dict())
    train(second, resumed, 3, way)
    for name, tensor in once.parameters.items():
        assert torch.equal(second.parameters[name], tensor), name


def test_a_rate_that_a_callback_lowers(way):
    net, rates, losses = network(), [], []
    model = twin(net)
    stepper = SGD(lr=0.3).bind(net)
    plateau = ReduceOnPlateau("loss", factor=0.5, patience=0, threshold=0.05)

    def look(net, history):
        rates.append(stepper.scale)

    history = train(net, stepper, 8, way, callbacks=[plateau, look])
    reference = torch.optim.SGD(model.parameters(), lr=0.3)
    scheduler = lr_scheduler.ReduceLROnPlateau(reference, factor=0.5, patience=0, threshold=0.05)
    for loss in history["loss"]:
        descend(model, reference, 1)
        scheduler.step(loss)
        losses.append(reference.param_groups[0]["lr"] / 0.3)
    assert rates == pytest.approx(losses)
    assert len(set(rates)) > 2
    assert_same(net, model, 1e-9)


class Idle(Optimizer):
    def state(self, w):
        return ()

    def update(self, w, g, state, s):
        return w, ()


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_optimizer_that_changes_nothing_is_reported_once(accumulate, way):
    with pytest.warns(GraphDLWarning, match="Idle: the first update changed no parameter") as caught:
        train(network(), Idle(lr=0.1), 8, way, accumulate=accumulate)
    assert [each.filename for each in caught] == [__file__]


@pytest.mark.parametrize("lr", [0.0, Warmup(0.1, steps=5, start=0.0)], ids=str)
def test_a_rate_of_0_is_not_reported(lr, way):
    train(network(), SGD(lr=lr), 8, way)


def test_gathering_is_checked_before_training():
    for settings in ({"clip_norm": -1.0}, {"clip_value": "a"}, {"accumulate": 0}):
        net = network()
        before = net.state_dict()
        with pytest.raises(SettingError, match=next(iter(settings))):
            train(net, SGD(), 1, {}, **settings)
        assert all(torch.equal(net.parameters[name], before[name]) for name in net.parameters)


def test_large_parameters_are_gathered_too(monkeypatch, way):
    monkeypatch.setattr("graphdl.optim.moves.LARGE", 10)
    operators = {"fc1": Linear(3, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    net = Network(operators, connectivity, seed=0, dtype=torch.float64)
    model = twin(net)
    train(net, SGD(lr=0.1), 3, way, clip_norm=0.2, accumulate=2)
    descend(model, torch.optim.SGD(model.parameters(), lr=0.1), 3, clip_norm=0.2, accumulate=2)
    assert_same(net, model, 1e-9)
