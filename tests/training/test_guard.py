"""Training with losses that stay on the device. On the CPU the same path is forced and compared with the usual one."""

from contextlib import ExitStack, nullcontext
from itertools import pairwise
from unittest import mock

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Linear,
    MSELoss,
    Network,
    ReLU,
    Sigmoid,
    Tanh,
    fit,
    reads,
)
from graphdl.errors import NonFiniteError
from graphdl.optim import SGD, Adam, Cosine
from graphdl.training import guard
from tests.agreement.campaign import draw
from tests.agreement.ways import guarded
from tests.host_reads import host_reads_refused

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def classifier(**settings) -> Network:
    operators = {
        "fc1": Linear(4, 8), "norm": BatchNorm1d(8), "relu": ReLU(), "drop": Dropout(0.3), "fc2": Linear(8, 3),
        "loss": CrossEntropyLoss(ignore_index=1),
    }  # fmt: skip
    chain = ["x", *operators]
    connectivity = {source: [fed] for source, fed in pairwise(chain)}
    return Network(operators, connectivity | {"y": ["loss"]}, seed=0, **settings)


def two_losses(**settings) -> Network:
    operators = {
        "words": Embedding(5, 4), "a": Linear(4, 4), "tanh": Tanh(), "b": Linear(4, 2), "c": Linear(4, 2),
        "left": MSELoss(weight=0.3), "right": MSELoss(reduction="none"),
    }  # fmt: skip
    wires = {
        "words": ["x"], "a": ["words"], "tanh": ["a"], "b": ["tanh"], "c": ["tanh"],
        "left": ["b", "y"], "right": ["c", "z"],
    }  # fmt: skip
    return Network(operators, reads(wires), seed=0, **settings)


def plain(**settings) -> Network:
    operators = {"fc1": Linear(4, 8), "act": Sigmoid(), "fc2": Linear(8, 2), "loss": MSELoss()}
    wires = {"fc1": ["x"], "act": ["fc1"], "fc2": ["act"], "loss": ["fc2", "y"]}
    return Network(operators, reads(wires), seed=0, **settings)


def batches(build, count, rows=6, device="cpu", bad=()):
    """Batches for a network; those in `bad` have a target or an input that is not finite."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for k in range(count):
        n = rows if k % 5 else rows - 2
        x = torch.randn(n, 4, generator=generator)
        if build is classifier:
            batch = {"x": x, "y": torch.randint(3, (n,), generator=generator)}
        elif build is plain:
            batch = {"x": x, "y": torch.randn(n, 2, generator=generator)}
        else:
            y, z = torch.randn(2, n, 2, generator=generator)
            batch = {"x": torch.randint(5, (n,), generator=generator), "y": y, "z": z}
        if k in bad:
            (batch["x"] if build is classifier else batch["y"])[-1, 0] = float("inf")
        found.append({name: tensor.to(device) for name, tensor in batch.items()})
    return found


def train(build, data, forced, *, most=64, epochs=2, error=NonFiniteError, **settings):
    """Train; return the history or the error, and all that training changes."""
    net = build()
    stepper = settings.pop("optimizer").bind(net)
    guarded = mock.patch.object(guard, "GUARDED", {"cpu"} if forced else set())
    with guarded, mock.patch.object(guard, "MOST_STEPS", most):
        try:
            result = dict(fit(net, data, optimizer=stepper, epochs=epochs, progress=False, **settings))
        except error as raised:
            result = str(raised)
    state = {**net.state_dict(), **stepper.state_dict(), "generator": net.generator.get_state()}
    return result, {name: each.tolist() if isinstance(each, torch.Tensor) else each for name, each in state.items()}


SETTINGS = [
    {"optimizer": Adam(lr=1e-2)},
    {"optimizer": SGD(lr=Cosine(1e-2, steps=30), momentum=0.9), "clip_norm": 0.5},
    {"optimizer": Adam(lr=1e-2, nodes={"*.bias": {"lr": 1e-3}}), "accumulate": 3, "clip_value": 0.1},
]
BUILDS = [classifier, two_losses, plain]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("build", BUILDS)
def test_the_same_numbers_as_when_each_loss_is_read_at_once(build, settings):
    data, metrics = batches(build, 23), ["accuracy"] if build is classifier else []
    expected = train(build, data, False, metrics=metrics, **settings)
    assert train(build, data, True, metrics=metrics, **settings) == expected
    assert train(build, data, True, metrics=metrics, most=7, **settings) == expected


@pytest.mark.parametrize("bad", [(0,), (1, 2), (5, 9), (11,), (22,)])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("build", BUILDS)
def test_a_loss_that_is_not_finite_leaves_everything_as_before_its_step(build, settings, bad):
    data = batches(build, 23, bad=bad)
    error, state = train(build, data, False, **settings)
    assert "has values that are not finite" in error
    assert train(build, data, True, **settings) == (error, state)
    assert train(build, data, True, most=4, **settings) == (error, state)


def test_large_parameters_are_restored_too():
    def build(**settings):
        operators = {"fc1": Linear(4, 5000), "act": Tanh(), "fc2": Linear(5000, 2), "loss": MSELoss()}
        return Network(operators, reads({"fc1": ["x"], "act": ["fc1"], "fc2": ["act"], "loss": ["fc2", "y"]}), seed=0)

    data = [{"x": torch.randn(3, 4), "y": torch.randn(3, 2)} for _ in range(8)]
    data[4]["y"][0] = float("nan")
    settings = SETTINGS[0]
    assert train(build, data, True, **settings) == train(build, data, False, **settings)


def test_a_loss_that_overflows_names_the_same_node():
    data, settings = batches(plain, 20), {"optimizer": SGD(lr=1e30)}
    expected = train(plain, data, False, **settings)
    assert "is not finite" in expected[0]
    assert train(plain, data, True, **settings) == expected


def test_batches_may_be_changed_in_place_after_their_step():
    memory = {"x": torch.ones(6, 4), "y": torch.zeros(6, 2)}

    def data():
        for k in range(10):
            memory["x"].fill_(float("nan") if k == 4 else k)
            yield memory

    settings = {"optimizer": Adam(), "epochs": 1}
    expected = train(plain, data(), False, **settings)
    assert "the input 'x'" in expected[0]
    assert train(plain, data(), True, **settings) == expected


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_finds_the_state_before_the_loss_that_is_not_finite(interruption):
    def data(bad):
        yield from batches(plain, 12, bad=bad)
        raise interruption

    settings = {"optimizer": Adam(lr=1e-2), "epochs": 1, "error": interruption}
    assert train(plain, data([]), True, **settings) == train(plain, data([]), False, **settings)
    undone = train(plain, data([7]), True, **settings)
    assert undone[1] == train(plain, batches(plain, 12, bad=[7]), False, optimizer=Adam(lr=1e-2), epochs=1)[1]


def test_a_callback_at_the_end_of_steps_sees_losses_that_were_read():
    class Counting:
        def __init__(self):
            self.seen = []

        def on_step_end(self, net, stepper, history):
            assert all(parameter.isfinite().all() for parameter in net.parameters.values())
            self.seen.append((stepper.steps, net.parameters["fc1.weight"].sum().item()))

    seen = []
    for forced in (True, False):
        counting = Counting()
        data = batches(plain, 12, bad=[8])
        result = train(plain, data, forced, optimizer=Adam(lr=1e-2), callbacks=[counting])
        seen.append((counting.seen, result))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 8


def test_a_network_that_is_frozen_between_batches_is_trained_on():
    def run(forced):
        nets = []

        def build(**settings):
            nets.append(plain(**settings))
            return nets[0]

        def data():
            for k, batch in enumerate(batches(plain, 16)):
                if k == 9:
                    nets[0].freeze("fc1")
                yield batch

        return train(build, data(), forced, optimizer=Adam(lr=1e-2), epochs=1)

    assert run(True) == run(False)


def test_metrics_may_return_numbers_or_tensors():
    def as_number(prediction, target):
        return 0.25

    def as_tensor(prediction, target):
        return (prediction - target).abs().mean()[None]

    settings = {"optimizer": Adam(), "metrics": [as_number, as_tensor]}
    data = batches(plain, 9)
    assert train(plain, data, True, **settings) == train(plain, data, False, **settings)


def test_a_metric_that_is_not_a_number_is_refused():
    def wrong(prediction, target):
        return prediction

    with pytest.raises(Exception, match=r"The metric 'wrong' returned a tensor \(6, 2\)"):
        train(plain, batches(plain, 9)[1:], True, optimizer=Adam(), metrics=[wrong])


def unread_after(data, warm):
    """The batches; from one of them on, until the last, numbers must not be read."""
    with ExitStack() as stack:
        for k, batch in enumerate(data):
            if k == warm:
                stack.enter_context(host_reads_refused())
            yield batch


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("build", BUILDS)
def test_no_number_is_read_in_a_step(build, settings):
    data, metrics = batches(build, 40), ["accuracy"] if build is classifier else []
    fed = unread_after(data, 30)
    result, _ = train(build, fed, True, metrics=metrics, epochs=1, **settings)
    assert set(result) >= {"loss"}
    fed = unread_after(data, 30)
    with pytest.raises(AssertionError, match="reads a number on the host"):
        train(build, fed, False, metrics=metrics, epochs=1, **settings)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("build", BUILDS)
def test_no_number_is_read_in_a_custom_loop(build, settings):
    limits = {name: value for name, value in settings.items() if name != "optimizer"}
    net = build()
    stepper = settings["optimizer"].bind(net)
    for batch in unread_after(batches(build, 20), 10):
        net.forward(batch)
        net.backward()
        stepper.step(**limits)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # of torch, in the reference that chooses networks
@pytest.mark.filterwarnings("ignore::graphdl.errors.GraphDLWarning")  # what is drawn has no purpose
def test_no_operator_reads_a_number():
    drawn = [each for each in map(draw, range(40)) if not each.custom]
    assert len(drawn) > 10
    for each in drawn:
        assert guarded(each, refusing=True).used


@on_gpu
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("build", BUILDS)
def test_a_step_on_the_gpu_does_not_wait_for_it(build, settings):
    net = build(device="cuda")
    data = batches(build, 60, device="cuda")

    def fed():
        for k, batch in enumerate(data):
            torch.cuda.set_sync_debug_mode("error" if k >= 40 else "default")
            yield batch
        torch.cuda.set_sync_debug_mode("default")

    try:
        history = fit(net, fed(), epochs=1, progress=False, **settings)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(torch.tensor(history["loss"])).all()


@on_gpu
@pytest.mark.parametrize("build", [two_losses, plain])
def test_a_loss_that_is_not_finite_on_the_gpu_changes_nothing(build):
    states = []
    for data in (batches(build, 20, device="cuda", bad=[13]), batches(build, 13, device="cuda")):
        net = build(device="cuda")
        stepper = Adam(lr=1e-2).bind(net)
        expected = pytest.raises(NonFiniteError, match="has values that are not finite")
        with expected if len(data) == 20 else nullcontext():
            fit(net, data, optimizer=stepper, epochs=1, progress=False)
        states.append((net.state_dict(), stepper.steps))
    assert states[0][1] == states[1][1] == 13
    torch.testing.assert_close(states[0][0], states[1][0])
