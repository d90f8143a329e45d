import pytest
import torch

from graphdl import Linear, MSELoss, Network, fit
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


def test_small_steps_get_one_thread_and_large_ones_all():
    assert choose_threads(network(25), 50, 2) == 1
    assert choose_threads(network(1024), 256, 2) == 2


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


def test_they_are_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError):
        fit(
            network(3), torch.ones(4, 3), torch.ones(4, 3), optimizer=SGD(), epochs=1, batch_size=4,
            callbacks=[lambda net, history: 1 / 0],
        )  # fmt: skip
    assert torch.get_num_threads() == 2
