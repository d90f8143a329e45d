from dataclasses import dataclass

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from graphdl import registry
from graphdl.errors import SettingError
from graphdl.optim import SGD, Cosine, Exponential, OneCycle, Polynomial, Schedule, StepDecay, Warmup
from tests.optim.common import backward, batches, network


def rates(make, lr=5e-3, count=200):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    for step in range(count):
        yield optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]
        optimizer.step()
        if step + 1 < count:
            scheduler.step()


def sequence(then):
    def make(optimizer):
        warmup = theirs.LinearLR(optimizer, start_factor=0.1, total_iters=17)
        return theirs.SequentialLR(optimizer, [warmup, then(optimizer)], milestones=[17])

    return make


CASES = [
    (Cosine(5e-3, steps=200), lambda o: theirs.CosineAnnealingLR(o, 200)),
    (Cosine(5e-3, steps=70, low=1e-4), lambda o: theirs.CosineAnnealingLR(o, 70, eta_min=1e-4)),
    (StepDecay(5e-3, every=30), lambda o: theirs.StepLR(o, 30)),
    (StepDecay(5e-3, every=7, factor=0.7), lambda o: theirs.StepLR(o, 7, gamma=0.7)),
    (Exponential(5e-3, factor=0.99), lambda o: theirs.ExponentialLR(o, 0.99)),
    (Polynomial(5e-3, steps=150, power=2.0), lambda o: theirs.PolynomialLR(o, 150, 2.0)),
    (Polynomial(5e-3, steps=150, low=1e-3), lambda o: theirs.LinearLR(o, 1.0, 0.2, 150)),
    (Warmup(5e-3, steps=100), lambda o: theirs.LinearLR(o, total_iters=100)),
    (
        Warmup(5e-3, steps=17, start=0.1, then=Cosine(5e-3, steps=90)),
        sequence(lambda o: theirs.CosineAnnealingLR(o, 90)),
    ),
    (Warmup(5e-3, 17, StepDecay(5e-3, every=50), start=0.1), sequence(lambda o: theirs.StepLR(o, 50))),
    (OneCycle(5e-3, steps=200), lambda o: theirs.OneCycleLR(o, 5e-3, 200)),
    (
        OneCycle(5e-3, steps=201, rise=0.1, shape="linear"),
        lambda o: theirs.OneCycleLR(o, 5e-3, 201, pct_start=0.1, anneal_strategy="linear"),
    ),
    (
        OneCycle(5e-3, steps=200, start=1e-3, end=1e-5),
        lambda o: theirs.OneCycleLR(o, 5e-3, 200, div_factor=5, final_div_factor=100),
    ),
]


@pytest.mark.parametrize(("schedule", "make"), CASES, ids=[str(case[0]) for case in CASES])
def test_the_same_as_torch_for_200_updates(schedule, make):
    for step, (rate, _) in enumerate(rates(make)):
        assert schedule.at(step) == schedule(step) == pytest.approx(rate, rel=1e-12, abs=1e-16), step


def test_the_momentum_of_one_cycle():
    schedule = OneCycle(0.85, steps=120, start=0.95, end=0.95)
    for step, (_, momentum) in enumerate(rates(lambda o: theirs.OneCycleLR(o, 5e-3, 120), count=120)):
        assert schedule.at(step) == pytest.approx(momentum, rel=1e-12)


def test_what_comes_after_the_end():
    assert Polynomial(1.0, steps=3, low=0.25).at(1000) == 0.25
    assert Warmup(2.0, steps=3).at(1000) == 2.0
    assert OneCycle(1.0, steps=10, end=0.5).at(1000) == 0.5
    assert Cosine(1.0, steps=10).at(20) == pytest.approx(1.0)


@pytest.mark.parametrize("rise", [0.0, 0.1, 0.55, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_one_cycle_ends_where_it_should(rise, steps):
    schedule = OneCycle(1.0, steps=steps, rise=rise, start=0.5, end=0.25)
    values = [schedule.at(step) for step in range(steps + 3)]
    assert all(0.25 <= value <= 1.0 for value in values)
    assert values[steps:] == [values[steps - 1]] * 3
    assert rise == 1.0 or values[-1] == 0.25


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Cosine("fast", steps=3), "Cosine: high must be a finite number, not 'fast'"),
        (lambda: Cosine(1.0, steps=0), "Cosine: steps must be a whole number of at least 1, not 0"),
        (lambda: Cosine(1.0, steps=2.5), "Cosine: steps must be a whole number"),
        (lambda: Cosine(float("inf"), steps=2), "Cosine: high must be a finite number"),
        (lambda: StepDecay(1.0, every=3, factor=-1), "StepDecay: factor must be a finite number of at least 0, not -1"),
        (lambda: Warmup(1.0, steps=3, start=2.0), "Warmup: start must be a finite number from 0 to 1, not 2.0"),
        (lambda: Warmup(1.0, steps=3, then=0.5), "Warmup: then must be a schedule such as"),
        (lambda: OneCycle(1.0, steps=3, shape="cosin"), "OneCycle: shape must be .* Did you mean 'cosine'"),
        (lambda: OneCycle(1.0, steps=3, start="a"), "OneCycle: start must be a finite number"),
        (
            lambda: SGD(lr=lambda step: 0.1),
            "SGD: lr must be a number in .* or a schedule, .*A function cannot be stored in a file",
        ),
        (lambda: SGD(lr=Cosine), "SGD: lr must be a number in .* or a schedule, not the class Cosine"),
        (
            lambda: SGD(lr=Exponential(-1.0, 0.5)),
            r"SGD: lr must be a number in \[0, inf\), or a schedule, not Exponential.*starts at -1.0",
        ),
        (lambda: SGD(nesterov=Cosine(1.0, 2)), "SGD: nesterov must be True or False"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(SettingError, match=text):
        make()


def test_schedules_are_settings():
    schedule = Warmup(1.0, steps=3, then=Cosine(1.0, steps=9))
    assert schedule == Warmup(1.0, steps=3, then=Cosine(1.0, steps=9))
    assert hash(schedule) == hash(Warmup(1.0, steps=3, then=Cosine(1.0, steps=9)))
    assert all(registry.is_registered(type(case)) for case, _ in CASES)
    with pytest.raises(AttributeError):
        schedule.high = 2.0


@dataclass(frozen=True)
class Broken(Schedule):
    def at(self, step):
        return 0.1 if step < 2 else float("nan")


def test_a_schedule_that_gives_no_number_is_named():
    net = network()
    stepper = SGD(lr=Broken()).bind(net)
    for _ in range(2):
        backward(net, batches(1)[0])
        stepper.step()
    with pytest.raises(SettingError, match=r"SGD: lr = Broken\(\) gives nan for update 3"):
        stepper.step()
    assert stepper.steps == 2
    stepper = SGD(lr=Exponential(1.0, factor=2.0)).bind(net)
    stepper.advance(2000)
    with pytest.raises(SettingError, match=r"SGD: lr = Exponential.* failed for update 2001"):
        stepper.numbers(1)
