import pytest
import torch

from graphdl import LSTM, BatchNorm2d, Conv2d, Item, Linear, MSELoss, Network, Operator, Sequential, fit
from graphdl.execution.compiled import CompiledPasses
from graphdl.optim import SGD
from graphdl.training.threads import choose_threads


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def network(width: int) -> Network:
    return Network(
        {"fc": Linear(width, width), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0
    )


def batch(rows: int, *shape: int) -> dict[str, torch.Tensor]:
    return {"x": torch.ones(rows, *shape), "y": torch.ones(rows, *shape)}


def test_small_steps_get_one_thread_and_large_ones_all():
    assert choose_threads(network(25), batch(50, 25), 2) == 1
    assert choose_threads(network(1024), batch(256, 1024), 2) == 2


@pytest.mark.parametrize(("size", "expected"), [(8, 1), (64, 2)])
@pytest.mark.parametrize(
    "operator", [Conv2d(3, 3, 3, padding=1), Sequential(norm=BatchNorm2d(3), conv=Conv2d(3, 3, 3, padding=1))]
)
def test_the_places_where_a_weight_is_used_count(operator, size, expected):
    net = Network({"a": operator, "loss": MSELoss()}, {"x": ["a"], "a": ["loss"], "y": ["loss"]}, seed=0)
    assert choose_threads(net, batch(256, 3, size, size), 2) == expected


def test_sequences_count():
    operators = {"lstm": LSTM(32, 32), "first": Item(0), "loss": MSELoss()}
    net = Network(operators, {"x": ["lstm"], "lstm": ["first"], "first": ["loss"], "y": ["loss"]}, seed=0)
    assert choose_threads(net, batch(10, 8, 32), 2) == 1
    assert choose_threads(net, batch(1000, 64, 32), 2) == 2


class Reading(Operator):
    """Reads a number, which tensors without data do not have."""

    def forward(self, p, x, *, training):
        return x * float(x.sum() > 0), None

    def backward(self, p, saved, dy):
        return (dy,), {}


def test_where_shapes_cannot_be_inferred_parameters_count():
    operators = {"read": Reading(), "fc": Linear(3, 3), "loss": MSELoss()}
    net = Network(operators, {"x": ["read"], "read": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    assert choose_threads(net, batch(10, 3), 2) == 1


@pytest.mark.parametrize(("threads", "expected"), [(None, 1), (2, 2), (1, 1)])
def test_fit_takes_them_and_gives_them_back(threads, expected):
    seen = []
    data = torch.ones(4, 3)
    fit(
        network(3), data, data, optimizer=SGD(), epochs=1, batch_size=4, threads=threads,
        callbacks=[lambda net, history: seen.append(torch.get_num_threads())],
    )  # fmt: skip
    assert seen == [expected]
    assert torch.get_num_threads() == 2


def test_large_steps_that_several_threads_make_are_not_compiled(monkeypatch):
    monkeypatch.setattr(CompiledPasses, "__init__", lambda *given: pytest.fail("it is compiled"))
    data = torch.ones(256, 1024)
    how = {"optimizer": SGD(), "epochs": 1, "batch_size": 256, "compile": True, "progress": False}
    assert len(fit(network(1024), data, data, **how)["loss"]) == 1
    with pytest.raises(pytest.fail.Exception, match="it is compiled"):
        fit(network(1024), data, data, threads=1, **how)


def test_they_are_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError):
        fit(
            network(3), torch.ones(4, 3), torch.ones(4, 3), optimizer=SGD(), epochs=1, batch_size=4,
            callbacks=[lambda net, history: 1 / 0],
        )  # fmt: skip
    assert torch.get_num_threads() == 2
