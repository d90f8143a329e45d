"""Losses with any slots: what they predict, what they are given, and that they train."""

from dataclasses import dataclass

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Embedding,
    Feed,
    Flatten,
    InputSlot,
    L1Loss,
    Linear,
    Loss,
    MSELoss,
    Network,
    Operator,
    Shared,
    Tanh,
    check_gradients,
    evaluate,
    fit,
)
from graphdl.errors import MissingInputError, SettingError
from graphdl.optim import SGD, Adam

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(12, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def make(operators, connectivity, **settings):
    return Network(operators, connectivity, seed=0, dtype=torch.float64, **settings)


def written(target_first, **sizes):
    operators = {"fc1": Linear(out_features=4), "tanh": Tanh(), "fc2": Linear(out_features=2), "loss": MSELoss()}
    edges = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"]}
    target = {"target": ["loss"]}
    return make(operators, {**edges, **target} if not target_first else {"x": ["fc1"], **target, **edges})


def test_inputs_may_be_written_first():
    first, last = written(True), written(False)
    assert first.predictions == last.predictions == ("fc2",)
    data = {"x": X, "target": Y}
    histories = [fit(net, data, optimizer=Adam(lr=0.1), epochs=30, batch_size=6, seed=0, progress=False)
                 for net in (first, last)]  # fmt: skip
    assert histories[0]["loss"] == histories[1]["loss"]
    assert first.predict(X).equal(last.predict(X))


def test_a_binary_loss_whose_target_is_written_first_stays_positive():
    operators = {"fc1": Linear(3, 4), "tanh": Tanh(), "fc2": Linear(4, 2), "loss": BCEWithLogitsLoss()}
    edges = {"x": ["fc1"], "target": ["loss"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"]}
    net = make(operators, edges)
    data = {"x": X, "target": (Y > 0).double()}
    history = fit(net, data, optimizer=Adam(lr=0.1), epochs=50, batch_size=12, progress=False)
    assert 0 < history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("operator", [Linear(out_features=3), BatchNorm1d(), BatchNorm1d(3), Embedding(4, 3)], ids=repr)
def test_operators_of_unknown_size_train_too(operator):
    assert operator.trains
    assert make({"a": operator, "loss": MSELoss()}, {"t": ["loss"], "x": ["a"], "a": ["loss"]}).predictions == ("a",)


@pytest.mark.parametrize("operator", [Tanh(), BatchNorm1d(affine=False), Flatten()], ids=repr)
def test_operators_without_parameters_do_not(operator):
    assert not operator.trains
    assert make({"a": operator, "loss": MSELoss()}, {"t": ["loss"], "x": ["a"], "a": ["loss"]}).predictions == ("t",)


def test_a_custom_operator_that_cannot_say_before_its_sizes_are_known_trains():
    @dataclass(frozen=True)
    class Odd(Operator):
        size: int | None = None
        inferred = ("size",)

        def parameters(self):
            return {"w": 1 / self.size}

        def forward(self, p, x, *, training): ...
        def backward(self, p, saved, dy): ...

    assert Odd().trains


def test_what_is_frozen_does_not_change_the_roles():
    net = written(True)
    net.freeze(*net.operators)
    assert net.predictions == ("fc2",)
    again = Network.from_dict(net.to_dict(), seed=0)
    assert again.predictions == ("fc2",)


def test_a_stored_network_keeps_its_roles():
    operators = {"a": Linear(3, 2), "b": Linear(3, 2), "c": Shared("b"), "loss": MSELoss(), "other": L1Loss()}
    edges = {"x": ["a", "b", "c"], "t": ["loss"], "b": ["loss", "other"], "a": [Feed("other", slot="prediction")]}
    net = make(operators, edges)
    again = Network.from_dict(net.to_dict(), seed=0, dtype=torch.float64)
    assert net.predictions == again.predictions == ("b", "a")
    assert again.forward({"x": X, "t": Y})["loss"].equal(net.forward({"x": X, "t": Y})["loss"])


def test_summary_and_diagram_say_which_is_which():
    for target_first in (True, False):
        net = written(target_first)
        assert "prediction: fc2, target: target" in net.summary()
        assert "fc2 → loss · slot prediction" in net.diagram().source
        assert "<I>prediction</I>" in net.diagram().source
    swapped = make({"loss": MSELoss()}, {"target": ["loss"], "prediction": ["loss"]})
    assert "prediction: target, target: prediction" in swapped.summary()
    assert "<I>target</I>" in swapped.diagram().source
    assert "<I>target</I>" in make({"a": Tanh(), "loss": MSELoss()}, {"x": ["a"], "a": ["loss"]}).diagram().source


@dataclass(frozen=True, kw_only=True)
class KL(Loss):
    """Divergence of Normal(mean, 1) from Normal(0, 1): mean² / 2."""

    slots = ("mean",)

    def forward(self, p, mean, *, training):
        return self.reduce(mean.square() / 2), mean

    def backward(self, p, mean, dy):
        return (mean * self.share(dy, mean.numel()),), {}


@dataclass(frozen=True, kw_only=True)
class TripletLoss(Loss):
    """|a - p|² - |a - n|²; da = 2 (n - p) dy, dp = 2 (p - a) dy, dn = 2 (a - n) dy."""

    slots = ("anchor", "positive", "negative")

    def forward(self, p, a, positive, negative, *, training):
        return self.reduce((a - positive).square() - (a - negative).square()), (a, positive, negative)

    def backward(self, p, saved, dy):
        a, positive, negative = saved
        dy = self.share(dy, a.numel(), 2)
        return ((negative - positive) * dy, (positive - a) * dy, (a - negative) * dy), {}


def autoencoder():
    operators = {"encode": Linear(3, 2), "decode": Linear(2, 3), "loss": MSELoss(), "kl": KL(weight=0.1)}
    return make(operators, {"x": ["encode", "loss"], "encode": ["decode", "kl"], "decode": ["loss"]})


def test_a_loss_of_one_slot_beside_another():
    net = autoencoder()
    assert net.predictions == ("decode",)
    before = net.predict(X)
    history = fit(net, X, optimizer=Adam(lr=0.05), epochs=40, batch_size=12, metrics=[lambda p, t: (p - t).abs().max()],
                  progress=False)  # fmt: skip
    assert set(history) == {"loss", "loss_of_loss", "loss_of_kl", "<lambda>_of_loss"}
    assert history["loss"][-1] < history["loss"][0]
    assert not net.predict(X).equal(before)
    assert check_gradients(autoencoder(), {"x": X}) < 1e-7


def siamese():
    operators = {"a": Linear(3, 2), "p": Shared("a"), "n": Shared("a"), "loss": TripletLoss()}
    return make(operators, {"xa": ["a"], "xp": ["p"], "xn": ["n"], "a": ["loss"], "p": ["loss"], "n": ["loss"]})


def test_a_loss_of_three_slots():
    net = siamese()
    data = {"xa": X, "xp": X + 0.01, "xn": -X}
    history = fit(net, data, optimizer=SGD(lr=0.01), epochs=5, batch_size=6, validation=data, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert set(evaluate(net, data)) == {"loss"}
    assert net.predictions == ("a",)
    assert net.predict(X).shape == (12, 2)
    assert check_gradients(siamese(), data) < 1e-6


@pytest.mark.parametrize("metrics", [("accuracy",), [lambda p, t: 0.0]])
def test_metrics_without_anything_to_compare_are_refused(metrics):
    with pytest.raises(SettingError, match="metrics compare a prediction with its target, but no loss"):
        fit(siamese(), {"xa": X, "xp": X, "xn": X}, optimizer=SGD(), epochs=1, batch_size=6, metrics=metrics)


def test_targets_without_a_target_slot_are_refused():
    with pytest.raises(MissingInputError, match="targets were given, but 0 inputs feed the targets of losses"):
        fit(siamese(), X, Y, optimizer=SGD(), epochs=1, batch_size=6)


def test_a_loss_without_any_slot_is_a_penalty():
    @dataclass(frozen=True, kw_only=True)
    class Penalty(Loss):
        slots = ()

        def forward(self, p, *, training):
            return torch.zeros((), dtype=torch.float64), None

        def backward(self, p, saved, dy):
            return (), {}

    net = make({"fc": Linear(3, 2), "loss": MSELoss(), "extra": Penalty()}, {"x": ["fc"], "fc": ["loss"], "extra": []})
    fit(net, X, Y, optimizer=SGD(), epochs=2, batch_size=6, progress=False)


@dataclass(frozen=True)
class Masked(Operator):
    """y = x mask + shift; both optional."""

    slots = ("x", InputSlot("mask", optional=True, kind="boolean"), InputSlot("shift", optional=True))

    def forward(self, p, x, mask, shift, *, training):
        y = x if mask is None else x * mask
        return y if shift is None else y + shift, (mask, shift is not None)

    def backward(self, p, saved, dy):
        mask, shifted = saved
        return (dy if mask is None else dy * mask, None, dy if shifted else None), {}


MASK = X > 0


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"x": ["m"]}, X),
        ({"x": ["m"], "mask": ["m"]}, X * MASK),
        ({"x": ["m"], "shift": [Feed("m", slot="shift")]}, X + 2),
        ({"x": ["m"], "mask": ["m"], "shift": ["m"]}, X * MASK + 2),
    ],
)
def test_an_optional_slot_that_nothing_feeds_is_none(edges, expected):
    operators = {"m": Masked(), "fc": Linear(3, 2), "loss": MSELoss()}
    net = make(operators, {**edges, "m": ["fc"], "fc": ["loss"], "t": ["loss"]})
    given = {"x": X, "mask": MASK, "shift": torch.full_like(X, 2)}
    data = {name: given[name] for name in edges} | {"t": Y}
    assert set(net.inputs) == set(data)
    net.forward(data)
    assert net.values["m"].equal(expected)
    sent = net.backward()
    dx = 2 * (net.values["fc"] - Y) / Y.numel() @ net.parameters["fc.weight"]
    torch.testing.assert_close(sent["x"], dx * MASK if "mask" in edges else dx)
    assert ("shift" in sent) == ("shift" in edges)
    assert net.shapes({name: tuple(tensor.shape) for name, tensor in data.items()})["m"] == (12, 3)
    assert net.cost({name: tuple(tensor.shape) for name, tensor in data.items()}).peak > 0
    history = fit(net, data, optimizer=Adam(lr=0.1), epochs=20, batch_size=6, progress=False, recompute=["m"])
    assert history["loss"][-1] < history["loss"][0]


def test_shapes_alone_say_of_indices_that_they_are_integers():
    operators = {"table": Embedding(5, 3), "fc": Linear(3, 4), "loss": CrossEntropyLoss()}
    edges = {"words": ["table"], "table": ["fc"], "fc": ["loss"], "y": ["loss"]}
    net = make(operators, edges)
    assert net.shapes({"words": (7,), "y": (7,)})["loss"] == ()
    words, y = torch.zeros(7, dtype=torch.int64), torch.zeros(7, dtype=torch.int64)
    by_shape, by_tensor = net.cost({"words": (7,), "y": (7,)}), net.cost({"words": words, "y": y})
    assert by_shape.inputs == by_tensor.inputs == 2 * 7 * 8
    soft = net.cost({"words": (7,), "y": (7, 4)}), net.cost({"words": words, "y": torch.zeros(7, 4)})
    assert soft[0].inputs == soft[1].inputs == 7 * 8 + 7 * 4 * 8
    assert soft[0].peak == soft[1].peak


def test_one_hot_targets_may_be_integers():
    x = torch.randn(5, 3, dtype=torch.float64)
    hot = torch.nn.functional.one_hot(torch.tensor([0, 2, 1, 1, 0]), 3)
    nets = [make({"fc": Linear(3, 3), "loss": CrossEntropyLoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]})
            for _ in range(2)]  # fmt: skip
    for net, target in zip(nets, (hot, hot.double()), strict=True):
        net.forward({"x": x, "y": target})
        net.backward()
    assert nets[0].gradients["fc.weight"].equal(nets[1].gradients["fc.weight"])


@pytest.mark.parametrize("edges", [{"x": ["m"]}, {"x": ["m"], "mask": ["m"]}], ids=str)
def test_an_optional_slot_in_a_compiled_step(edges):
    operators = {"m": Masked(), "fc": Linear(3, 2), "loss": MSELoss()}
    data = {"x": X, "mask": MASK}
    nets = [make(operators, {**edges, "m": ["fc"], "fc": ["loss"], "t": ["loss"]}) for _ in range(2)]
    for net, compiled in zip(nets, (False, True), strict=True):
        given = {name: data[name] for name in edges} | {"t": Y}
        fit(net, given, optimizer=SGD(lr=0.1), epochs=4, batch_size=6, seed=0, compile=compiled, progress=False)
    torch.testing.assert_close(nets[1].parameters["fc.weight"], nets[0].parameters["fc.weight"], rtol=1e-9, atol=1e-12)
