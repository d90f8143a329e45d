"""Schedules, settings by node, clipping and accumulation against torch.optim, in every way a step is made."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from graphdl import BatchNorm1d, Dropout, Linear, MSELoss, Network, Tanh, fit
from graphdl.optim import SGD, Adagrad, Adam, Cosine, Lion, NAdam, RAdam, RMSProp, StepDecay, Warmup
from tests.optim.common import LionReference, double_precision  # noqa: F401
from tests.twins import needs_compiler

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 3, generator=G).double(), torch.randn(60, 2, generator=G).double()
ROWS, EPOCHS = 10, 12
RISING = Warmup(5e-3, steps=10, then=Cosine(5e-3, steps=60))
OPTIMIZERS = {
    "adam": Adam(lr=RISING, nodes={"fc1": {"lr": 1e-3}, "*.bias": {"weight_decay": 0.1}}),
    "sgd": SGD(lr=StepDecay(0.1, every=20, factor=0.5), momentum=0.9, nesterov=True, weight_decay=0.01),
}
ADAPTIVE = {
    "rmsprop": (RMSProp, torch.optim.RMSprop, {"momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    "adagrad": (Adagrad, torch.optim.Adagrad, {"lr_decay": 0.1, "weight_decay": 0.1}),
    "nadam": (NAdam, torch.optim.NAdam, {"weight_decay": 0.1}),
    "radam": (RAdam, torch.optim.RAdam, {"betas": (0.9, 0.95), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "lion": (Lion, LionReference, {"weight_decay": 0.1}),
}
OPTIMIZERS |= {name: ours(lr=RISING, **settings) for name, (ours, _, settings) in ADAPTIVE.items()}
GATHERINGS = [{}, {"clip_norm": 0.05}, {"clip_value": 0.01}, {"clip_norm": 0.05, "clip_value": 0.02, "accumulate": 4}]
CASES = [
    pytest.param(name, gathering, id=f"{name}, {', '.join(gathering) or 'plain'}")
    for name in OPTIMIZERS
    for gathering in (GATHERINGS[::3] if name in ADAPTIVE else GATHERINGS)
]
WAYS = ["operators", "replayed", pytest.param("compiled", marks=needs_compiler)]


def network(*middle):
    nodes = {
        "fc1": Linear(3, 8),
        **{f"m{k}": each for k, each in enumerate(middle)},
        "tanh": Tanh(),
        "fc2": Linear(8, 2),
    }
    operators = {**nodes, "loss": MSELoss()}
    edges = {a: [b] for a, b in pairwise(["x", *operators])}
    return Network(operators, edges | {"y": ["loss"]}, seed=0, dtype=torch.float64)


def train(net, way, optimizer, epochs, **settings):
    data = {"x": X, "y": Y}
    return fit(
        net, data, optimizer=optimizer, epochs=epochs, batch_size=ROWS, compile=way == "compiled", progress=False,
        **settings
    )  # fmt: skip


@pytest.fixture
def way(request, monkeypatch):
    if request.param == "operators":
        monkeypatch.setattr("graphdl.training.recording.SIGHTS", 10**9)
    return request.param


def by_torch(net, name, gathering):
    """The parameters after the same steps by torch.nn and torch.optim."""
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    names = dict(zip(["0.weight", "0.bias", "2.weight", "2.bias"], net.parameters, strict=True))
    model.load_state_dict({theirs: net.parameters[ours].clone() for theirs, ours in names.items()})
    held = dict(model.named_parameters())
    lr = torch.optim.lr_scheduler
    if name == "adam":
        groups = [
            {"params": [held["0.weight"]], "lr": 1e-3},
            {"params": [held["0.bias"]], "lr": 1e-3, "weight_decay": 0.1},
            {"params": [held["2.weight"]]},
            {"params": [held["2.bias"]], "weight_decay": 0.1},
        ]
        optimizer = torch.optim.Adam(groups, lr=5e-3)
        factors = [lambda k: 1.0, lambda k: 1.0, *[lambda k: RISING.at(k) / 5e-3] * 2]
        scheduler = lr.LambdaLR(optimizer, factors)
    elif name in ADAPTIVE:
        _, theirs, settings = ADAPTIVE[name]
        optimizer = theirs(held.values(), lr=5e-3, **settings)
        scheduler = lr.LambdaLR(optimizer, lambda k: RISING.at(k) / 5e-3)
    else:
        optimizer = torch.optim.SGD(held.values(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
        scheduler = lr.StepLR(optimizer, 20, 0.5)
    every = gathering.get("accumulate", 1)
    order = torch.Generator()
    order.set_state(net.generator.get_state())
    for _ in range(EPOCHS):
        batches = torch.randperm(60, generator=order).split(ROWS)
        for first in range(0, len(batches), every):
            part = batches[first : first + every]
            optimizer.zero_grad()
            for rows in part:
                (nn.functional.mse_loss(model(X[rows]), Y[rows]) / len(part)).backward()
            if "clip_value" in gathering:
                nn.utils.clip_grad_value_(model.parameters(), gathering["clip_value"])
            if "clip_norm" in gathering:
                nn.utils.clip_grad_norm_(model.parameters(), gathering["clip_norm"])
            optimizer.step()
            scheduler.step()
    return {ours: held[theirs].detach() for theirs, ours in names.items()}


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(("name", "gathering"), CASES)
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_as_torch_optim(way, name, gathering):
    net = network()
    expected = by_torch(net, name, gathering)
    train(net, way, OPTIMIZERS[name], EPOCHS, **gathering)
    for parameter, tensor in expected.items():
        torch.testing.assert_close(net.parameters[parameter], tensor, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "gathering"), CASES)
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_twice_five_epochs_are_ten_bit_for_bit(way, name, gathering):
    optimizer, nets = OPTIMIZERS[name], [network(BatchNorm1d(8), Dropout(0.3)) for _ in range(2)]
    whole = train(nets[0], way, optimizer, 10, **gathering)
    stepper = optimizer.bind(nets[1])
    halves = [train(nets[1], way, stepper, 5, **gathering) for _ in range(2)]
    assert whole["loss"] == halves[0]["loss"] + halves[1]["loss"]
    for key, tensor in nets[0].state_dict().items():
        assert torch.equal(nets[1].state_dict()[key], tensor), key
    again = network(BatchNorm1d(8), Dropout(0.3))
    resumed = optimizer.bind(again)
    train(again, way, resumed, 5, **gathering)
    state, other = resumed.state_dict(), optimizer.bind(again)
    other.load_state_dict(state)
    train(again, way, other, 5, **gathering)
    assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in nets[0].state_dict().items())
