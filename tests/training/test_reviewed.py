"""What once went wrong, each as small as it was found."""

import random
from dataclasses import dataclass
from itertools import permutations

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Feed,
    Linear,
    MSELoss,
    Network,
    Operator,
    Parameter,
    ReLU,
    Sum,
    Tanh,
    fit,
    reads,
)
from graphdl.errors import NonFiniteError, SettingError
from graphdl.initializers import Zeros
from graphdl.optim import SGD, Adam

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(12, 4, generator=G), torch.randn(12, 3, generator=G)


def own_loop(net, data, optimizer, epochs):
    stepper = optimizer.bind(net)
    for _ in range(epochs):
        net.forward(data)
        net.backward()
        stepper.step()
    return net.state_dict()


@pytest.mark.parametrize("order", list(permutations(["ta", "rb", "c"])), ids=str)
def test_a_sum_of_three_takes_no_input_for_its_memory_that_it_has_yet_to_read(order):
    operators = {"a": Linear(4, 3), "b": Linear(4, 3), "c": Linear(4, 3), "ta": Tanh(), "rb": ReLU(), "s": Sum()}
    inputs = {"a": ["x"], "b": ["x"], "c": ["x"], "ta": ["a"], "rb": ["b"], "s": list(order), "loss": ["s", "target"]}
    data = {"x": X, "target": Y}

    def make():
        return Network(operators | {"loss": MSELoss()}, reads(inputs), seed=0)

    net = make()
    net.forward(data)
    assert torch.equal(net.predict({"x": X}), net.values["s"])
    fit(net, data, optimizer=Adam(lr=0.01), epochs=6, batch_size=12, shuffle=False, progress=False)
    for name, tensor in own_loop(make(), data, Adam(lr=0.01), 6).items():
        torch.testing.assert_close(net.state_dict()[name], tensor)


@dataclass(frozen=True)
class Columns(Operator):
    """Its gradients are columns of one tensor, and of another type if asked."""

    size: int
    dtype: torch.dtype = torch.float32

    def parameters(self):
        return {"a": Parameter((self.size,), Zeros()), "b": Parameter((self.size,), Zeros())}

    def forward(self, p, x, *, training):
        return x[:, :3] + p["a"].mean() + 2 * p["b"].mean(), None

    def backward(self, p, saved, dy):
        share = torch.stack([dy.sum() * torch.arange(self.size), 2 * dy.sum() * torch.arange(self.size)], 1)
        share = (share / self.size**2).to(self.dtype)
        return (None,), {"a": share[:, 0], "b": share[:, 1]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [100, 20_000])
def test_gradients_of_any_strides_and_type_move_parameters_of_any_size(size, dtype):
    def make():
        return Network({"c": Columns(size, dtype), "loss": MSELoss()}, reads({"c": ["x"], "loss": ["c", "target"]}))

    data = {"x": X, "target": Y}
    net = make()
    fit(net, data, optimizer=Adam(lr=0.1), epochs=4, batch_size=12, shuffle=False, progress=False)
    w, m = torch.zeros(2, size), [torch.zeros(2, size), torch.zeros(2, size)]
    for t in range(1, 5):
        dy = 2 * (X[:, :3] + w[0].mean() + 2 * w[1].mean() - Y) / Y.numel()
        g = torch.stack([dy.sum() * torch.arange(size), 2 * dy.sum() * torch.arange(size)]) / size**2
        m = [0.9 * m[0] + 0.1 * g, 0.999 * m[1] + 0.001 * g * g]
        w = w - 0.1 * m[0] / (1 - 0.9**t) / ((m[1] / (1 - 0.999**t)).sqrt() + 1e-8)
    torch.testing.assert_close(net.parameters["c.a"], w[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(net.parameters["c.b"], w[1], rtol=1e-3, atol=1e-4)


class Jittery(Tanh):
    def forward(self, p, x, *, training, out=None):
        return super().forward(p, x * (1 + random.random()), training=training)


class Hoarding(Linear):
    def forward(self, p, x, *, training):
        y, _ = super().forward(p, x, training=training)
        return y, (x, y)

    def backward(self, p, saved, dy, *needs):
        return super().backward(p, saved[0], dy + 0 * saved[1], *needs)


def test_an_operator_promises_nothing_of_its_passes():
    assert not any(hasattr(cls, name) for cls in (Operator, Tanh, Linear) for name in ("fresh", "recordable"))


def test_passes_that_a_subclass_replaces_are_called_in_every_step():
    net = Network({"a": Linear(4, 3), "t": Jittery(), "loss": MSELoss()},
                  reads({"a": ["x"], "t": ["a"], "loss": ["t", "target"]}), seed=0)  # fmt: skip
    losses = fit(net, {"x": X, "target": Y}, optimizer=SGD(lr=0.0), epochs=6, batch_size=12, progress=False)["loss"]
    assert len(set(losses)) == 6


def test_an_activation_of_integers_makes_numbers():
    net = Network({"s": Sum(), "t": Tanh()}, reads({"s": ["x", "x2"], "t": ["s"]}))
    given = {"x": torch.arange(6), "x2": torch.arange(6)}
    assert torch.equal(net.predict(given), net.forward(given)["t"])


@pytest.mark.parametrize("bad", [0, 1, 4])
def test_a_loss_that_is_not_finite_leaves_running_statistics_as_they_were(bad):
    def make():
        return Network({"a": Linear(4, 3), "n": BatchNorm1d(3), "loss": MSELoss()},
                       reads({"a": ["x"], "n": ["a"], "loss": ["n", "target"]}), seed=0)  # fmt: skip

    good = {"x": X, "target": Y}
    batches = [good] * 5
    batches[bad] = {"x": X.clone().fill_(float("inf")), "target": Y}
    net, expected = make(), make()
    with pytest.raises(NonFiniteError):
        fit(net, batches, optimizer=SGD(), epochs=1, progress=False)
    if bad:
        fit(expected, batches[:bad], optimizer=SGD(), epochs=1, progress=False)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in expected.state_dict().items())


def test_a_metric_may_keep_its_targets():
    kept = []

    def keep(prediction, target):
        kept.append((target, target.clone()))
        return 0.0

    operators = {"a": Linear(4, 3), "b": Linear(4, 3), "loss": MSELoss()}
    net = Network(
        operators, {"x": ["a", "b"], "a": [Feed("loss", "prediction")], "b": [Feed("loss", "target")]}, seed=0
    )
    fit(net, {"x": X}, optimizer=SGD(lr=0.5), epochs=4, batch_size=6, metrics=[keep], progress=False)
    assert all(torch.equal(target, copy) for target, copy in kept)


def test_data_without_rows_are_told():
    net = Network({"a": Linear(4, 3), "loss": MSELoss(reduction="sum")},
                  reads({"a": ["x"], "loss": ["a", "target"]}), seed=0)  # fmt: skip
    with pytest.raises(SettingError, match="has no batches"):
        fit(net, [{"x": X[:0], "target": Y[:0]}], optimizer=SGD(), epochs=1, progress=False)
