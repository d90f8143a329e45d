"""A run that was stopped anywhere continues, and ends bit for bit as one that was not."""

import itertools
import random

import numpy
import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Callback,
    Checkpoint,
    Dropout,
    EarlyStopping,
    Linear,
    MSELoss,
    Network,
    ReduceOnPlateau,
    Tanh,
    fit,
)
from graphdl.data import disc, one_hot
from graphdl.errors import SettingError
from graphdl.optim import BFGS, L2, SGD, Adam, Cosine
from graphdl.training.runs.folder import RunFolder

X, LABELS = disc(110, seed=0)
Y = one_hot(LABELS, 2)
VALIDATION = (X[:30], Y[:30])

OPERATORS = {
    "fc1": Linear(2, 6), "norm": BatchNorm1d(6), "drop": Dropout(0.2), "tanh": Tanh(), "fc2": Linear(6, 2),
    "loss": MSELoss(),
}  # fmt: skip
CHAIN = {"x": ["fc1"], "fc1": ["norm"], "norm": ["drop"], "drop": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"]}
CONNECTIVITY = {**CHAIN, "target": ["loss"]}


class StoppedError(Exception):
    """Stands for a kill: nothing is written any more."""


class Unfreezing(Callback):
    """Freezes a node for two epochs, and counts."""

    def __init__(self):
        self.calls = []

    def on_epoch_start(self, net, stepper, history):
        self.calls.append(f"epoch {history.epochs}")
        if history.epochs == 1:
            net.freeze("fc1")
        elif history.epochs == 3:
            net.unfreeze("fc1")

    def on_step_end(self, net, stepper, history):
        self.calls.append(stepper.steps)

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


class Loader:
    """Batches in an order from one of the global generators."""

    def __init__(self, draw):
        self.draw = draw

    def __iter__(self):
        for k in numpy.argsort(self.draw(6)):
            yield X[k * 18 : k * 18 + 18], Y[k * 18 : k * 18 + 18]


def network():
    return Network(OPERATORS, CONNECTIVITY, seed=3)


def train(folder=None, inputs=(X, Y), epochs=4, optimizer=None, make_callbacks=lambda: (), checkpoint=None, **options):
    """Train; return the network, the stepper and the history."""
    net = network()
    stepper = (optimizer or Adam(lr=0.01)).bind(net)
    given = dict(zip(("inputs", "targets"), inputs, strict=False))
    if isinstance(inputs, tuple):
        options = {"batch_size": 20, **options}
    history = fit(
        net, **given, optimizer=stepper, epochs=epochs, callbacks=make_callbacks(), progress=False,
        checkpoint=None if folder is None else Checkpoint(folder, **(checkpoint or {"steps": 1})), **options,
    )  # fmt: skip
    return net, stepper, history


def assert_same(one, other):
    (net, stepper, history), (expected, same_stepper, whole) = one, other
    assert dict(history) == dict(whole)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name]), name
    states = stepper.state_dict(), same_stepper.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[1].items():
        assert torch.equal(value, states[0][name]) if isinstance(value, torch.Tensor) else value == states[0][name]
    assert torch.equal(net.generator.get_state(), expected.generator.get_state())
    assert net.engine.frozen == expected.engine.frozen


@pytest.fixture
def stops(monkeypatch):
    """A function that lets the next run stop when a manifest was written for the n-th time."""
    write, left = RunFolder.write, itertools.repeat(1)

    def stopping(self, manifest):
        write(self, manifest)
        if next(left) == 0:
            raise StoppedError

    def stop_after(count):
        nonlocal left
        left = iter([*range(count - 1, -1, -1)])

    def never():
        nonlocal left
        left = itertools.repeat(1)

    monkeypatch.setattr(RunFolder, "write", stopping)
    return stop_after, never


def check(stops, folder, after, **options):
    """Stop a run several times, after so many writes each, until it ends; compare it with one that was not stopped."""
    stop_after, never = stops
    never()
    seeded()
    expected = train(**options)
    for count in after:
        stop_after(count)
        seeded()
        with pytest.raises(StoppedError):
            train(folder, **options)
    never()
    torch.manual_seed(5)
    result = train(folder, **options)
    assert_same(result, expected)
    assert_same(train(folder, **options), expected)


def seeded():
    torch.manual_seed(0)
    numpy.random.seed(0)
    random.seed(0)


CASES = {
    "dropout and batch norm": {},
    "own generator": {"seed": 7},
    "in order": {"shuffle": False},
    "accumulate": {"accumulate": 4},
    "accumulate over the end": {"accumulate": 5, "clip_norm": 0.1},
    "penalties and clip": {"penalties": (L2(1e-3, nodes=("*.weight",)),), "clip_value": 0.01, "metrics": ["accuracy"]},
    "validation": {"validation": VALIDATION, "metrics": ["accuracy"]},
    "schedule": {"optimizer": SGD(lr=Cosine(0.1, steps=30), momentum=0.9)},
    "joint": {"optimizer": BFGS(lr=0.05)},
    "plateau": {
        "validation": VALIDATION,
        "make_callbacks": lambda: [ReduceOnPlateau(patience=0, threshold=0.5), EarlyStopping(patience=2)],
    },
    "metrics over rows": {"metrics": ["f1", "accuracy", "rmse"], "validation": 0.2},
    "weights of rows": {"sample_weight": torch.linspace(0, 2, len(X)), "class_weight": "balanced", "drop_last": True},
    "weights and freezing": {"sample_weight": torch.linspace(0, 2, len(X)), "make_callbacks": lambda: [Unfreezing()]},
    "freezing": {"make_callbacks": lambda: [Unfreezing()]},
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_stopped_run_ends_as_one_that_was_not_stopped(case, compiled, stops, tmp_path, drawn):
    options = {**CASES[case], "compile": compiled}
    check(stops, tmp_path, drawn([2, 3, 7, 4, 6, 5]), **options)


@pytest.fixture
def drawn(request):
    """A function that draws two of several numbers, by the name of the test."""
    return lambda numbers: random.Random(request.node.name).sample(numbers, 2)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cadence", [{"epochs": 2}, {"steps": 4}, {"seconds": 0.0}, {"steps": 1000}])
def test_every_way_of_saying_how_often(cadence, compiled, stops, tmp_path):
    noisy = {"epochs": 9, "compile": compiled, "checkpoint": cadence, "seed": 1}
    check(stops, tmp_path, [2, 2] if cadence != {"steps": 1000} else [], **noisy)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "draw", [lambda n: torch.rand(n).numpy(), numpy.random.rand, lambda n: [random.random() for _ in range(n)]]
)
def test_batches_of_an_iterable(draw, compiled, stops, tmp_path):
    check(stops, tmp_path, [3, 8, 5], inputs=[Loader(draw)], compile=compiled)


def test_a_data_loader(stops, tmp_path):
    data = torch.utils.data.TensorDataset(X, Y)
    check(stops, tmp_path, [4, 9], inputs=[torch.utils.data.DataLoader(data, 20, shuffle=True)])


@pytest.mark.parametrize("place", ["loader", "sampler", "batch sampler"])
@pytest.mark.parametrize("checkpoint", [{"epochs": 1}, {"steps": 1}])
def test_a_data_loader_with_its_own_generator(place, checkpoint, stops, tmp_path):
    def loader():
        data, own = torch.utils.data.TensorDataset(X, Y), torch.Generator().manual_seed(3)
        if place == "loader":
            return torch.utils.data.DataLoader(data, 20, shuffle=True, generator=own)
        sampler = torch.utils.data.RandomSampler(data, generator=own)
        if place == "sampler":
            return torch.utils.data.DataLoader(data, 20, sampler=sampler)
        return torch.utils.data.DataLoader(data, batch_sampler=torch.utils.data.BatchSampler(sampler, 20, False))

    def run(folder=None):
        seeded()
        return train(folder, inputs=[loader()], checkpoint=checkpoint)

    expected = run()
    for count in (3, 2):
        stops[0](count)
        with pytest.raises(StoppedError):
            run(tmp_path)
    stops[1]()
    assert_same(run(tmp_path), expected)


class Noisy(torch.utils.data.Dataset):
    """A data set with a generator of its own."""

    def __init__(self, kind):
        self._generators = {
            "numpy": numpy.random.default_rng(3), "legacy": numpy.random.RandomState(3), "python": random.Random(3),
            "torch": torch.Generator().manual_seed(3),
        }[kind],  # fmt: skip

    def __len__(self):
        return len(X)

    def __getitem__(self, k):
        (own,) = self._generators
        noise = torch.rand((), generator=own).item() if isinstance(own, torch.Generator) else own.uniform(0, 1)
        return X[k] + noise, Y[k]


@pytest.mark.parametrize("kind", ["numpy", "legacy", "python", "torch"])
@pytest.mark.parametrize("checkpoint", [{"epochs": 1}, {"steps": 1}])
def test_the_generators_of_a_data_set_continue(kind, checkpoint, stops, tmp_path):
    def run(folder=None):
        seeded()
        parts = torch.utils.data.Subset(Noisy(kind), range(100))
        return train(folder, inputs=[torch.utils.data.DataLoader(parts, 20, shuffle=True)], checkpoint=checkpoint)

    expected = run()
    stops[0](3 if "epochs" in checkpoint else 7)
    with pytest.raises(StoppedError):
        run(tmp_path)
    stops[1]()
    assert_same(run(tmp_path), expected)


@pytest.mark.parametrize("bits", [numpy.random.SFC64, None])
def test_other_generators_are_refused(bits, tmp_path, stops):
    def run(own):
        data = Noisy("numpy")
        data._generators = own
        return train(tmp_path, inputs=[torch.utils.data.DataLoader(data, 20)], checkpoint={"epochs": 1})

    stops[0](3)
    with pytest.raises(StoppedError):
        run((numpy.random.default_rng(3),))
    stops[1]()
    own = numpy.random.Generator(numpy.random.PCG64(3) if bits is None else bits(3))
    with pytest.raises(SettingError, match=r"checkpoint: inputs and validation hold .*Generator \(PCG64\)"):
        run((own,) if bits else (own, own.spawn(1)[0]))


def test_batches_that_cannot_be_repeated_are_noticed(stops, tmp_path):
    rows = numpy.random.default_rng(0)

    class Changing:
        def __iter__(self):
            for _ in range(6):
                yield X[rows.integers(0, 110, 20)], Y[:20]

    stops[0](4)
    with pytest.raises(StoppedError):
        train(tmp_path, inputs=[Changing()])
    stops[1]()
    with pytest.raises(Exception, match="batch 3 is another one now"):
        train(tmp_path, inputs=[Changing()])


def test_a_long_run_is_replayed_before_and_after(stops, tmp_path):
    check(stops, tmp_path, [40, 31], epochs=14)


def test_double_precision_and_steps_of_several_epochs(stops, tmp_path, monkeypatch):
    options = {"inputs": (X[:100], Y[:100]), "epochs": 400, "compile": True, "seed": 2}
    check(stops, tmp_path, [3, 2, 4], checkpoint={"epochs": 33}, **options)
