import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from graphdl import Linear, MSELoss, Network, Shared
from graphdl.errors import MissingInputError, SettingError, UnknownNodeError
from graphdl.optim import (
    SGD,
    Adam,
    AdamW,
    Cosine,
    Exponential,
    Gathering,
    OneCycle,
    Polynomial,
    StepDecay,
    Warmup,
)
from tests.optim.common import assert_same, backward, batches, descend, network, twin

CASES = [
    (SGD(lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    (SGD(lr=0.1, weight_decay=0.05), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
    (SGD(lr=0.1, momentum=0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (
        SGD(lr=0.1, momentum=0.8, weight_decay=0.01, nesterov=True),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.01, "nesterov": True},
    ),
    (Adam(lr=0.01), torch.optim.Adam, {"lr": 0.01}),
    (
        Adam(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        torch.optim.Adam,
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
    ),
    (AdamW(lr=0.01), torch.optim.AdamW, {"lr": 0.01}),
    (AdamW(lr=0.05, weight_decay=0.3), torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.3}),
]


@pytest.mark.parametrize(("optimizer", "theirs", "settings"), CASES, ids=lambda case: str(case)[:60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_trajectory_as_torch_over_100_steps(optimizer, theirs, settings, dtype):
    net = network(dtype=dtype)
    model = twin(net)
    stepper, reference = optimizer.bind(net), theirs(model.parameters(), **settings)
    for batch in batches(dtype=dtype):
        backward(net, batch)
        stepper.step()
        descend(model, batch)
        reference.step()
        assert_same(net, model, 1e-10 if dtype is torch.float64 else 5e-6)
    assert stepper.steps == 100


SCHEDULES = [
    (Cosine(0.05, steps=100, low=1e-3), lambda o: lr_scheduler.CosineAnnealingLR(o, 100, 1e-3)),
    (StepDecay(0.05, every=30), lambda o: lr_scheduler.StepLR(o, 30)),
    (Exponential(0.05, 0.98), lambda o: lr_scheduler.ExponentialLR(o, 0.98)),
    (Polynomial(0.05, 80, 0.9), lambda o: lr_scheduler.PolynomialLR(o, 80, 0.9)),
    (Warmup(0.05, 40), lambda o: lr_scheduler.LinearLR(o, total_iters=40)),
    (OneCycle(0.05, 100), lambda o: lr_scheduler.OneCycleLR(o, 0.05, 100, cycle_momentum=False)),
]


@pytest.mark.parametrize(("schedule", "make"), SCHEDULES, ids=[type(case[0]).__name__ for case in SCHEDULES])
@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (SGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
        (Adam, torch.optim.Adam, {"weight_decay": 0.1}),
        (AdamW, torch.optim.AdamW, {"weight_decay": 0.3}),
    ],
)
def test_schedules_move_as_torch_s_do(schedule, make, ours, theirs, settings):
    net = network()
    model = twin(net)
    stepper, reference = ours(lr=schedule, **settings).bind(net), theirs(model.parameters(), lr=0.05, **settings)
    scheduler = make(reference)
    for step, batch in enumerate(batches()):
        backward(net, batch)
        stepper.step()
        descend(model, batch)
        reference.step()
        if step < 99:
            scheduler.step()
        assert_same(net, model, 1e-10)


def test_one_cycle_moves_the_momentum_too():
    net = network()
    model = twin(net)
    momentum = OneCycle(0.85, 60, start=0.95, end=0.95)
    stepper = SGD(lr=OneCycle(0.05, 60), momentum=momentum).bind(net)
    reference = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(reference, 0.05, 60)
    for batch in batches(59):
        backward(net, batch)
        stepper.step()
        descend(model, batch)
        reference.step()
        scheduler.step()
        assert_same(net, model, 1e-10)


def grouped(model, groups):
    return [{"params": [model.get_parameter(name) for name in names], **settings} for names, settings in groups]


GROUPS = [
    (
        Adam(lr=1e-2, weight_decay=0.1, nodes={"fc1": {"lr": 1e-3}, "*.bias": {"weight_decay": 0.0}}),
        torch.optim.Adam,
        [
            (["0.weight"], {"lr": 1e-3, "weight_decay": 0.1}),
            (["0.bias"], {"lr": 1e-3, "weight_decay": 0.0}),
            (["2.weight"], {"lr": 1e-2, "weight_decay": 0.1}),
            (["2.bias"], {"lr": 1e-2, "weight_decay": 0.0}),
        ],
    ),
    (
        AdamW(lr=1e-2, nodes={"*": {"betas": (0.5, 0.6)}, "fc2.weight": {"betas": (0.8, 0.9), "eps": 1e-4}}),
        torch.optim.AdamW,
        [
            (["0.weight", "0.bias", "2.bias"], {"betas": (0.5, 0.6), "weight_decay": 1e-2}),
            (["2.weight"], {"betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 1e-2}),
        ],
    ),
    (
        SGD(lr=1e-2, nodes={"fc?": {"momentum": 0.9}, "fc2": {"momentum": 0.0}, "fc[2].weight": {"weight_decay": 0.1}}),
        torch.optim.SGD,
        [
            (["0.weight", "0.bias"], {"momentum": 0.9}),
            (["2.weight"], {"weight_decay": 0.1}),
            (["2.bias"], {}),
        ],
    ),
]


@pytest.mark.parametrize(("optimizer", "theirs", "groups"), GROUPS, ids=["adam", "adamw", "sgd"])
@pytest.mark.parametrize("large", [1, 10, 10**6])
def test_settings_by_name_are_parameter_groups(optimizer, theirs, groups, large, monkeypatch):
    monkeypatch.setattr("graphdl.optim.moves.LARGE", large)
    net = network()
    model = twin(net)
    stepper, reference = optimizer.bind(net), theirs(grouped(model, groups), lr=1e-2)
    for batch in batches():
        backward(net, batch)
        stepper.step()
        descend(model, batch)
        reference.step()
        assert_same(net, model, 1e-10)


def test_a_node_may_be_a_number():
    net = Network({1: Linear(2, 2), 2: Linear(2, 2), 3: MSELoss()}, {"x": [1], 1: [2], 2: [3], "y": [3]}, seed=0)
    before = net.state_dict()
    net.forward({"x": torch.ones(1, 2), "y": torch.zeros(1, 2)})
    net.backward()
    SGD(lr=0.1, nodes={1: {"lr": 0.0}}).bind(net).step()
    changed = {name for name, tensor in net.parameters.items() if not torch.equal(tensor, before[name])}
    assert changed == {"2.weight", "2.bias"}


def test_a_shared_operator_has_the_settings_of_its_owner():
    net = Network(
        {"a": Linear(2, 2), "b": Shared("a"), "loss": MSELoss()},
        {"x": ["a"], "a": ["b"], "b": ["loss"], "y": ["loss"]},
    )
    with pytest.raises(UnknownNodeError, match="nodes: 'b' owns no parameters"):
        SGD(nodes={"b": {"lr": 0.0}}).bind(net)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ({"fc3": {"lr": 0.1}}, "nodes: 'fc3' matches no node and no parameter. Did you mean 'fc[12]'"),
        ({"fc1.wieght": {"lr": 0.1}}, "Did you mean 'fc1.weight'"),
        ({"*.gamma": {"lr": 0.1}}, r"'\*.gamma' matches no node"),
        ({"tanh": {"lr": 0.1}}, "'tanh' owns no parameters"),
    ],
)
def test_names_that_fit_nothing_are_refused_when_the_optimizer_is_bound(nodes, text):
    with pytest.raises(UnknownNodeError, match=text):
        Adam(nodes=nodes).bind(network())


def test_a_network_without_sizes_is_checked_at_the_first_step():
    net = Network({"fc": Linear(out_features=2), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]})
    stepper = Adam(nodes={"fcc": {"lr": 0.1}}).bind(net)
    net.forward({"x": torch.ones(1, 3), "y": torch.ones(1, 2)})
    net.backward()
    with pytest.raises(UnknownNodeError, match="Did you mean 'fc'"):
        stepper.step()


@pytest.mark.parametrize("clip", [{"clip_norm": 0.3}, {"clip_value": 0.05}, {"clip_norm": 0.2, "clip_value": 0.05}])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("ours", [SGD(lr=0.1, momentum=0.9), AdamW(lr=0.01)], ids=["sgd", "adamw"])
def test_clipped_and_accumulated_as_in_torch(clip, accumulate, ours):
    net = network()
    model = twin(net)
    if isinstance(ours, SGD):
        reference = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    else:
        reference = torch.optim.AdamW(model.parameters(), lr=0.01)
    stepper, clipped = ours.bind(net), 0
    for count, batch in enumerate(batches(60, size=0.3), 1):
        backward(net, batch)
        before = {name: tensor.clone() for name, tensor in net.gradients.items()}
        stepper.step(**clip, accumulate=accumulate)
        assert all(torch.equal(net.gradients[name], tensor) for name, tensor in before.items())
        (nn.functional.mse_loss(model(batch[0]), batch[1]) / accumulate).backward()
        if count % accumulate == 0:
            if "clip_value" in clip:
                nn.utils.clip_grad_value_(model.parameters(), clip["clip_value"])
            if "clip_norm" in clip:
                norm = nn.utils.clip_grad_norm_(model.parameters(), clip["clip_norm"])
                clipped += bool(norm > clip["clip_norm"])
            reference.step()
            reference.zero_grad()
        assert_same(net, model, 1e-10)
    assert "clip_norm" not in clip or 0 < clipped < 60 // accumulate
    assert stepper.steps == 60 // accumulate


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"clip_norm": 0}, "clip_norm must be a positive number or None, not 0"),
        ({"clip_norm": "1"}, "clip_norm must be a positive number"),
        ({"clip_value": float("nan")}, "clip_value must be a positive number"),
        ({"clip_value": True}, "clip_value must be a positive number"),
        ({"accumulate": 0}, "accumulate must be a number of batches, 1 or more, not 0"),
        ({"accumulate": 2.0}, "accumulate must be a number of batches"),
    ],
)
def test_bad_gathering_is_refused(settings, text):
    with pytest.raises(SettingError, match=text):
        Gathering(**settings)


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9, weight_decay=0.1), Adam(lr=0.1), AdamW(lr=0.1)])
def test_frozen_parameters_stay_bit_for_bit(optimizer):
    net = network()
    stepper = optimizer.bind(net)
    (batch,) = batches(1)

    def step() -> dict[str, torch.Tensor]:
        backward(net, batch)
        stepper.step()
        return net.state_dict()

    first = step()
    net.freeze("fc1")
    second = step()
    net.unfreeze("fc1")
    third = step()
    for name in first:
        assert torch.equal(first[name], second[name]) == name.startswith("fc1"), name
        assert not torch.equal(second[name], third[name]), name


def test_parameters_that_no_gradient_reached_stay_even_under_weight_decay():
    net = Network(
        {"a": Linear(2, 2), "b": Linear(2, 2), "loss": MSELoss()},
        {"x": ["a", "b"], "a": ["loss"], "y": ["loss"]},
        seed=0,
    )
    before = net.state_dict()
    stepper = SGD(lr=0.1, weight_decay=0.5).bind(net)
    net.forward({"x": torch.ones(3, 2), "y": torch.zeros(3, 2)})
    net.backward()
    assert torch.equal(net.gradients["b.weight"], torch.zeros(2, 2))
    stepper.step()
    assert torch.equal(net.parameters["b.weight"], before["b.weight"])
    assert not torch.equal(net.parameters["a.weight"], before["a.weight"])


def test_step_takes_gradients_that_the_user_changed():
    net = network(dtype=torch.float32)
    before = net.state_dict()
    stepper = SGD(lr=1.0).bind(net)
    net.forward({"x": torch.ones(1, 3), "target": torch.ones(1, 2)})
    net.backward()
    net.gradients["fc2.bias"] = torch.tensor([1.0, -2.0])
    stepper.step()
    torch.testing.assert_close(net.parameters["fc2.bias"], before["fc2.bias"] - torch.tensor([1.0, -2.0]))


def test_the_state_follows_a_network_that_moves():
    net = network()
    stepper = Adam(lr=0.1).bind(net)
    for dtype in (torch.float32, torch.float64):
        net.to(dtype=dtype)
        net.forward({"x": torch.ones(1, 3), "target": torch.ones(1, 2)})
        net.backward()
        stepper.step()
    assert stepper.steps == 2
    assert net.parameters["fc1.weight"].dtype is torch.float64


def test_step_without_gradients_says_what_to_call():
    with pytest.raises(MissingInputError, match=r"call net.forward\(inputs\) and net.backward\(\) first"):
        Adam().bind(network()).step()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SGD(lr=-1.0), r"SGD: lr must be a number in \[0, inf\), or a schedule, not -1.0"),
        (lambda: Adam(lr="fast"), "lr must be a number"),
        (lambda: Adam(betas=(0.9, 1.0)), r"beta2 must be a number in \[0, 1\), or a schedule, not 1.0"),
        (lambda: Adam(betas=0.9), "betas must be a pair"),
        (lambda: AdamW(weight_decay=-0.1), "AdamW: weight_decay must be a number"),
        (lambda: SGD(momentum=-0.5), "momentum must be a number"),
        (lambda: Adam(nodes={"fc1": {"lrr": 0.1}}), "Adam: nodes\\['fc1'\\] sets 'lrr', .* Did you mean 'lr'"),
        (lambda: Adam(nodes={"fc1": {"nodes": {}}}), "no such setting. It has lr, betas, eps and weight_decay"),
        (lambda: Adam(nodes={"fc1": {"lr": -1}}), r"nodes\['fc1'\]: Adam: lr must be a number"),
        (lambda: Adam(nodes={"fc1": 0.1}), "nodes must be {node or pattern: {setting: value}}"),
        (lambda: Adam(nodes={1.5: {"lr": 1}}), "nodes: a key must be a node, or a pattern"),
        (lambda: SGD(nesterov=True), "nesterov needs a momentum other than 0"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(SettingError, match=text):
        make()


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Adam().lr = 1.0
    optimizer = Adam(nodes={"fc1": {"lr": 0.1}})
    assert optimizer == Adam(nodes={"fc1": {"lr": 0.1}})
    assert len({optimizer, Adam(nodes={"fc1": {"lr": 0.1}}), Adam(nodes={"fc1": {"lr": 0.2}})}) == 2
    assert Adam(nodes={"a": {"lr": 0.1}, "b": {"lr": 0.2}}) != Adam(nodes={"b": {"lr": 0.2}, "a": {"lr": 0.1}})
    assert optimizer.nodes == {"fc1": {"lr": 0.1}}
    with pytest.raises(TypeError):
        optimizer.nodes["fc1"] = {}
