"""RMSProp, Adagrad, NAdam, RAdam and Lion against torch.optim, in every way an update is made."""

import inspect
from dataclasses import fields

import pytest
import torch
from torch import nn, optim

from graphdl.errors import SettingError
from graphdl.optim import Adagrad, Cosine, Lion, NAdam, RAdam, RMSProp, StepDecay, Warmup, where
from tests.optim.common import (
    LionReference,
    assert_same,
    backward,
    batches,
    descend,
    double_precision,  # noqa: F401
    network,
    twin,
    updates,
)

pytestmark = pytest.mark.usefixtures("double_precision")

CASES = [
    (RMSProp, optim.RMSprop, {}),
    (RMSProp, optim.RMSprop, {"lr": 0.02, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.1}),
    (RMSProp, optim.RMSprop, {"momentum": 0.8}),
    (RMSProp, optim.RMSprop, {"centered": True}),
    (RMSProp, optim.RMSprop, {"lr": 5e-3, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    (Adagrad, optim.Adagrad, {}),
    (Adagrad, optim.Adagrad, {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1, "eps": 1e-6}),
    (Adagrad, optim.Adagrad, {"initial_accumulator_value": 0.3}),
    (NAdam, optim.NAdam, {}),
    (NAdam, optim.NAdam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1, "momentum_decay": 0.02}),
    (NAdam, optim.NAdam, {"weight_decay": 0.2, "decoupled_weight_decay": True}),
    (RAdam, optim.RAdam, {}),
    (RAdam, optim.RAdam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    (RAdam, optim.RAdam, {"weight_decay": 0.2, "decoupled_weight_decay": True}),
    (RAdam, optim.RAdam, {"betas": (0.9, 0.5)}),
    (Lion, LionReference, {}),
    (Lion, LionReference, {"lr": 3e-3, "betas": (0.95, 0.98), "weight_decay": 0.3}),
]
NAMES = [f"{ours.__name__} {settings}" for ours, _, settings in CASES]


@pytest.mark.parametrize(("ours", "theirs", "settings"), CASES, ids=NAMES)
def test_same_trajectory_as_torch_over_100_steps(ours, theirs, settings, monkeypatch):
    monkeypatch.setattr("graphdl.optim.moves.LARGE", 10)  # some parameters in groups, others by themselves
    net = network()
    model = twin(net)
    stepper, reference = ours(**settings).bind(net), theirs(model.parameters(), **settings)
    for batch in batches():
        backward(net, batch)
        stepper.step()
        descend(model, batch)
        reference.step()
        assert_same(net, model, 1e-10)


@pytest.mark.parametrize(("ours", "theirs", "settings"), CASES, ids=NAMES)
def test_numbers_that_are_tensors_give_the_same_trajectory(ours, theirs, settings):
    net, data = network(), batches()
    model = twin(net)
    reference = theirs(model.parameters(), **settings)
    updates(net, ours(**settings).bind(net), data)
    for batch in data:
        descend(model, batch)
        reference.step()
    assert_same(net, model, 1e-10)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [case for case in CASES if case[2].get("weight_decay")],
    ids=lambda case: getattr(case, "__name__", None),
)
@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Cosine(0.02, steps=70), lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 70)),
        (Warmup(0.02, 40, then=StepDecay(0.02, 30)), lambda o: optim.lr_scheduler.LambdaLR(o, factor)),
    ],
    ids=["cosine", "warmup"],
)
@pytest.mark.parametrize("gathering", [{}, {"clip_norm": 0.3, "accumulate": 2}], ids=["plain", "gathered"])
def test_schedules_clipping_and_accumulation(ours, theirs, settings, schedule, make, gathering):
    nets, data = [network(), network()], batches(size=0.3)
    model, every = twin(nets[0]), gathering.get("accumulate", 1)
    reference = theirs(model.parameters(), **settings | {"lr": 0.02})
    scheduler = make(reference)
    steppers = [ours(**settings | {"lr": schedule}).bind(net) for net in nets]
    for count, batch in enumerate(data, 1):
        backward(nets[0], batch)
        steppers[0].step(**gathering)
        (nn.functional.mse_loss(model(batch[0]), batch[1]) / every).backward()
        if count % every == 0:
            if gathering:
                nn.utils.clip_grad_norm_(model.parameters(), gathering["clip_norm"])
            reference.step()
            scheduler.step()
            reference.zero_grad()
    updates(nets[1], steppers[1], data, **gathering)
    for net in nets:
        assert_same(net, model, 1e-10)


def factor(step: int) -> float:
    return Warmup(0.02, 40, then=StepDecay(0.02, 30)).at(step) / 0.02


@pytest.mark.parametrize(
    ("ours", "theirs", "changed"),
    [
        (RMSProp, optim.RMSprop, {"alpha": 0.5, "centered": True}),
        (Adagrad, optim.Adagrad, {"lr_decay": 0.1, "eps": 0.1}),
        (NAdam, optim.NAdam, {"momentum_decay": 0.1, "betas": (0.5, 0.9)}),
        (RAdam, optim.RAdam, {"betas": (0.5, 0.6), "weight_decay": 0.1}),
        (Lion, LionReference, {"weight_decay": 0.5}),
    ],
    ids=lambda case: getattr(case, "__name__", None),
)
def test_settings_by_node_are_parameter_groups(ours, theirs, changed):
    nets, data = [network(), network()], batches(60)
    model = twin(nets[0])
    groups = [{"params": model[0].parameters(), **changed}, {"params": model[2].parameters()}]
    optimizer, reference = ours(lr=5e-3, nodes={"fc1": changed}), theirs(groups, lr=5e-3)
    steppers = [optimizer.bind(net) for net in nets]
    for batch in data:
        backward(nets[0], batch)
        steppers[0].step()
        descend(model, batch)
        reference.step()
    updates(nets[1], steppers[1], data)
    for net in nets:
        assert_same(net, model, 1e-10)


def test_a_variance_that_rounding_makes_negative_is_zero():
    w, g = torch.zeros(1), torch.full((1,), 0.1)
    optimizer = RMSProp(centered=True, alpha=0.0, eps=1e-3)
    state = optimizer.state(w)
    for t in range(1, 20):
        s = type("s", (), {"lr": 0.1, "alpha": 1 / 3, "eps": 1e-3, "momentum": 0.0, "t": t})
        w, state = optimizer.update(w, g, state, s)
    assert torch.isfinite(w).all()


def test_betas_between_which_radam_never_rectifies():
    """R = 4 and R = 2 would divide by 0."""
    for beta in (0.6, 1 / 3, 0.0):
        one, other, data = network(), network(), batches(10)
        stepper = RAdam(lr=0.01, betas=(0.9, beta)).bind(one)
        for batch in data:
            backward(one, batch)
            stepper.step()
        updates(other, RAdam(lr=0.01, betas=(0.9, beta)).bind(other), data)
        for name, tensor in one.parameters.items():
            assert torch.isfinite(tensor).all()
            torch.testing.assert_close(other.parameters[name], tensor, rtol=1e-11, atol=1e-12)


def test_where_takes_numbers_and_tensors():
    assert where(2 > 1, 1.0, 0.0) == 1.0
    assert where(torch.tensor(0.5) > 1, torch.ones(2), torch.zeros(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RMSProp(alpha=1.0), r"RMSProp: alpha must be a number in \[0, 1\)"),
        (lambda: RMSProp(centered=1), "RMSProp: centered must be True or False"),
        (lambda: Adagrad(initial_accumulator_value=-1.0), "initial_accumulator_value must be a finite number of at"),
        (lambda: Adagrad(lr_decay=-0.1), "Adagrad: lr_decay must be a number"),
        (lambda: NAdam(momentum_decay=-1), "NAdam: momentum_decay must be a number"),
        (lambda: RAdam(betas=(0.9, 1.0)), r"RAdam: beta2 must be a number in \[0, 1\)"),
        (lambda: Lion(betas=(1.5, 0.9)), "Lion: beta1 must be a number"),
        (lambda: Lion(betas=0.9), "Lion: betas must be a pair"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(SettingError, match=text):
        make()


@pytest.mark.parametrize(("ours", "theirs", "_"), [c for c in CASES if not c[2]], ids=[n for n in NAMES if "{}" in n])
def test_settings_have_torch_s_names_order_and_defaults(ours, theirs, _):
    given = dict(list(inspect.signature(theirs.__init__).parameters.items())[2:])
    names = [field.name for field in fields(ours) if field.name != "nodes"]
    assert names == [name for name in given if name in names]
    assert all(getattr(ours(), name) == given[name].default for name in names)
