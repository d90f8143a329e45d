"""fit(compile=True) trains as fit does."""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Feed,
    Flatten,
    Linear,
    MSELoss,
    Network,
    Operator,
    ReLU,
    Shared,
    Tanh,
    fit,
)
from graphdl.errors import GraphDLWarning, NonFiniteError, OperatorError, UnreachableError
from graphdl.optim import SGD, Adam
from graphdl.slots import InputSlot
from tests.twins import needs_compiler

X = torch.rand(43, 2, generator=torch.Generator().manual_seed(0))
Y = torch.stack([X.sum(1), X.prod(1)], 1)


def chain(middle=None, loss=None, **settings):
    operators = {"fc1": Linear(2, 8), **(middle or {"tanh": Tanh()}), "fc2": Linear(8, 2), "loss": loss or MSELoss()}
    keys = ["x", *operators]
    edges = {source: [fed] for source, fed in pairwise(keys)}
    return Network(operators, edges | {"target": ["loss"]}, seed=0, **settings)


def both(make, inputs=(X, Y), optimizer=None, **settings):
    """Histories and networks of fit with and without compile."""
    nets, histories = [], []
    for compile_it in (True, False):
        nets.append(make())
        given = inputs() if callable(inputs) else inputs
        data = given if isinstance(given, tuple) else (given,)
        settings = {"epochs": 4, "batch_size": 10} | settings
        history = fit(nets[-1], *data, optimizer=optimizer or Adam(lr=1e-2), compile=compile_it, **settings)
        histories.append(history)
    return nets, histories


def assert_alike(nets, histories, rtol=1e-4, atol=1e-5):
    one, other = histories
    assert set(one) == set(other)
    for name in other:
        assert one[name] == pytest.approx(other[name], rel=rtol, abs=atol)
    found = nets[0].state_dict()
    for name, tensor in nets[1].state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=rtol, atol=atol, msg=lambda t, n=name: f"{n}: {t}")
    assert torch.equal(nets[0].generator.get_state(), nets[1].generator.get_state())


@needs_compiler
def test_trains_alike_with_a_shorter_last_batch_and_metrics():
    def error(prediction, target):
        return (prediction - target).abs().max()

    assert_alike(*both(chain, metrics=(error,), validation=(X, Y)))


@dataclass(frozen=True)
class Turned(Operator):
    """Its output is a view with gaps."""

    recordable: ClassVar = True

    def forward(self, p, x, *, training):
        return x.t(), None

    def backward(self, p, saved, dy):
        return (dy.t(),), {}


@needs_compiler
def test_a_prediction_that_is_a_view():
    def corner(prediction, target):
        return (prediction[0] * target[0]).sum()

    def make():
        operators = {"fc": Linear(2, 3), "turned": Turned(), "loss": MSELoss()}
        return Network(operators, {"x": ["fc"], "fc": ["turned"], "turned": ["loss"], "target": ["loss"]}, seed=0)

    batches = [{"x": X[k : k + 10], "target": torch.arange(30.0).view(3, 10) * k} for k in (0, 10, 20, 30)]
    assert_alike(*both(make, batches, metrics=(corner,), batch_size=None))


@needs_compiler
def test_draws_the_same_masks():
    assert_alike(*both(lambda: chain({"relu": ReLU(), "drop": Dropout(0.3), "drop2": Dropout(0.0)})))


@needs_compiler
def test_moves_running_statistics():
    nets, histories = both(lambda: chain({"norm": BatchNorm1d(8), "tanh": Tanh()}), optimizer=SGD(lr=0.1))
    assert_alike(nets, histories)
    assert nets[0].buffers["norm.num_batches_tracked"] == 20


@needs_compiler
def test_iterables_of_batches():
    batches = [(X[k : k + 10], Y[k : k + 10]) for k in (0, 10, 20, 30)]
    assert_alike(*both(chain, [*batches, (X[40:], Y[40:])], batch_size=None))


@needs_compiler
def test_freezing_in_a_callback():
    def freeze(net, history):
        if len(history["loss"]) == 2:
            net.freeze("fc1")

    assert_alike(*both(chain, callbacks=[freeze]))


@needs_compiler
def test_a_loss_that_is_not_finite_stops_before_its_update():
    x = X[:40].clone()
    x[25] = float("nan")
    before = []
    for compile_it in (True, False):
        net = chain()
        with pytest.raises(NonFiniteError, match="the input 'x' has values that are not finite"):
            fit(net, x, Y[:40], optimizer=Adam(), epochs=1, batch_size=10, shuffle=False, compile=compile_it)
        before.append(net)
    found = before[0].state_dict()
    for name, tensor in before[1].state_dict().items():
        torch.testing.assert_close(found[name], tensor)


@needs_compiler
def test_a_class_index_out_of_range_is_explained():
    target = torch.zeros(40, dtype=torch.long)
    target[35] = 7
    with pytest.raises(OperatorError, match="class indices 0 to 1; the target's are from 0 to 7"):
        fit(
            chain(loss=CrossEntropyLoss()), X[:40], target, optimizer=Adam(), epochs=1, batch_size=10, shuffle=False,
            compile=True,
        )  # fmt: skip


def test_nothing_to_train_is_told_alike():
    with pytest.raises(UnreachableError, match="nothing to train"):
        fit(chain().freeze("fc1", "fc2"), X, Y, optimizer=Adam(), epochs=1, batch_size=10, compile=True)


@dataclass(frozen=True)
class Peeking(Operator):
    """Reads a number in Python."""

    recordable: ClassVar = True

    def forward(self, p, x, *, training):
        return x * (2 if float(x.sum()) > 0 else 1), None

    def backward(self, p, saved, dy):
        return (dy,), {}


@dataclass(frozen=True)
class Noisy(Operator):
    """Draws elsewhere than in draw."""

    def forward(self, p, x, *, training):
        with torch.random.fork_rng():
            return x + 1e-30 * torch.rand(()), None

    def backward(self, p, saved, dy):
        return (dy,), {}


@needs_compiler
def test_convolutions_are_called_between_fused_parts(recwarn):
    assert_alike(*both(image_chain, (X.view(-1, 1, 1, 2), Y)))
    assert not [each for each in recwarn if each.category is GraphDLWarning]


@needs_compiler
def test_steps_that_gain_nothing_are_left_to_the_operators(recwarn):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(64, 3, 32, 32, generator=generator), torch.rand(64, 2, generator=generator)

    def make():
        operators = {"conv": Conv2d(3, 8, 3), "flat": Flatten(), "fc": Linear(7200, 2), "loss": MSELoss()}
        edges = {"x": ["conv"], "conv": ["flat"], "flat": ["fc"], "fc": ["loss"], "target": ["loss"]}
        return Network(operators, edges, seed=0)

    assert_alike(*both(make, (x, y), epochs=1, batch_size=32, threads=1), rtol=0, atol=0)
    assert not [each for each in recwarn if each.category is GraphDLWarning]


def image_chain():
    operators = {"conv": Conv2d(1, 2, 1), "flat": Flatten(), "fc": Linear(4, 2), "loss": MSELoss()}
    return Network(
        operators, {"x": ["conv"], "conv": ["flat"], "flat": ["fc"], "fc": ["loss"], "target": ["loss"]}, seed=0
    )


FALLBACKS = [
    pytest.param(
        lambda: chain({"peek": Peeking()}), (X, Y), None, r"peek \(Peeking\): Python reads numbers", id="operator"
    ),
    pytest.param(
        lambda: chain({"noise": Noisy()}), (X, Y), None, r"noise \(Noisy\): rand draws random numbers", id="random"
    ),
]


@needs_compiler
@pytest.mark.parametrize(("make", "data", "optimizer", "reason"), FALLBACKS)
def test_falls_back_with_one_warning(make, data, optimizer, reason):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GraphDLWarning)
        assert_alike(*both(make, data, optimizer), rtol=0, atol=0)
    (warning,) = [each for each in caught if each.category is GraphDLWarning]
    assert warning.filename == __file__
    with pytest.warns(GraphDLWarning, match=reason):
        both(make, data, optimizer, epochs=1)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [("CXX", "no-such-compiler", "no-such-compiler, which"), ("PATH", "", "no C\\+\\+ compiler: install g\\+\\+")],
)
def test_no_compiler(monkeypatch, variable, value, reason):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.warns(GraphDLWarning, match=reason):
        assert_alike(*both(chain))


@needs_compiler
def test_batches_of_other_shapes():
    batches = [(X[:k], Y[:k]) for k in (10, 7, 5, 10, 3)]
    with pytest.warns(GraphDLWarning, match="other shapes"):
        assert_alike(*both(chain, batches, batch_size=None))


@needs_compiler
def test_shared_parameters():
    def make():
        operators = {"fc1": Linear(2, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "again": Shared("fc1")}
        operators |= {"side": Shared("fc2"), "loss": MSELoss(), "other": MSELoss(weight=-0.5)}
        edges = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["again", "loss"], "again": ["side"]}
        return Network(operators, edges | {"side": ["other"], "target": ["loss", "other"]}, seed=0)

    assert_alike(*both(make, {"x": X, "target": Y}))


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_that_is_worth_several_threads_keeps_them(threads):
    operators = {"fc1": Linear(2, 1000), "fc2": Linear(1000, 8), "loss": MSELoss()}
    net = Network(operators, {"x": ["fc1"], "fc1": ["fc2"], "fc2": ["loss"], "target": ["loss"]}, seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = torch.zeros(800, 2), torch.zeros(800, 8)
        fit(net, *data, optimizer=SGD(), epochs=1, batch_size=400, threads=threads, compile=True)
    assert not caught


MOOD = {"factor": 2.0}


@dataclass(frozen=True)
class Moody(Operator):
    """Multiplies by a number that somebody changes while a network trains."""

    def forward(self, p, x, *, training):
        return x * MOOD["factor"], MOOD["factor"]

    def backward(self, p, factor, dy):
        return (dy * factor,), {}


@needs_compiler
def test_custom_operators_that_change_are_noticed_in_the_next_epoch():
    def change(net, history):
        MOOD["factor"] = 3.0 if len(history["loss"]) == 2 else MOOD["factor"]

    found = []
    for compile_it in (True, False):
        MOOD["factor"] = 2.0
        net = chain({"moody": Moody()})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GraphDLWarning)
            history = fit(
                net, X[:40], Y[:40], optimizer=SGD(lr=0.01), epochs=4, batch_size=10, callbacks=[change],
                compile=compile_it, progress=False,
            )  # fmt: skip
        found.append(history["loss"])
        assert ["makes other calls than at first" in str(each.message) for each in caught] == [True] * compile_it
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@dataclass(frozen=True)
class Picking(Operator):
    """Rows of x, by a call that has no form in C++."""

    slots = ("x", InputSlot("rows", kind="integer"))

    def forward(self, p, x, rows, *, training):
        return x.index_select(0, rows), (rows, len(x))

    def backward(self, p, saved, dy):
        rows, n = saved
        return (dy.new_zeros(n, dy.shape[1]).index_add(0, rows, dy), None), {}


@needs_compiler
def test_a_torch_call_that_fails_is_explained_by_the_operators():
    operators = {"fc1": Linear(2, 8), "pick": Picking(), "fc2": Linear(8, 2), "loss": MSELoss()}
    edges = {"x": ["fc1"], "fc1": [Feed("pick", "x")], "rows": [Feed("pick", "rows")], "pick": ["fc2"], "fc2": ["loss"]}
    rows = torch.arange(10).repeat(4)
    found = []
    for wrong, compile_it in ((False, True), (False, False), (True, True), (True, False)):
        net = Network(operators, edges | {"target": ["loss"]}, seed=0)
        rows[33] = 99 if wrong else 3
        data = {"x": X[:40], "rows": rows, "target": Y[:40]}
        settings = {"optimizer": SGD(lr=0.1), "epochs": 1, "batch_size": 10, "shuffle": False, "compile": compile_it}
        if wrong:
            with pytest.raises(OperatorError, match=r"^pick \(Picking\) failed in forward.*index out of range"):
                fit(net, data, **settings)
        else:
            fit(net, data, **settings)
        found.append(net.state_dict())
    for one, other in (found[:2], found[2:]):
        for name in one:
            torch.testing.assert_close(one[name], other[name])
