"""Ctrl-C: once, twice, and while threads train."""

import os
import signal
import threading
import time

import pytest
import torch

from graphdl import Linear, MSELoss, Network, Tanh
from graphdl.optim import SGD
from graphdl.search import fit_all, together
from graphdl.search.interruption import Interruption
from tests.twins import needs_compiler


@pytest.fixture(autouse=True)
def usual_handler():
    """Python's handler, which a process in the background of a shell does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_is_raised_and_others_do_not_disturb():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert interruption.check() is False
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_handler_is_left_as_it_is():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *given: seen.append(1))
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert interruption.check() is False
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]


def test_in_another_thread():
    found = []

    def run():
        with Interruption() as interruption:
            found.append((interruption.check(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(False, signal.default_int_handler)]


@needs_compiler
def test_networks_rest_when_fit_all_returns(monkeypatch):
    x = torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0))
    operators = {"fc1": Linear(2, 8), "tanh": Tanh(), "fc2": Linear(8, 1), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    nets = [Network(operators, connectivity, seed=seed) for seed in range(6)]
    workers, after, run_all = [], [], together.run_all

    def interrupting(prepared):
        if after:
            after.append(1)
        elif threading.current_thread() is not threading.main_thread():
            workers.append(1)
            if len(workers) == 6:
                after.append(1)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGINT)  # while the threads are waited for
                time.sleep(0.3)
        run_all(prepared)

    monkeypatch.setattr(together, "run_all", interrupting)
    result = fit_all(
        nets, x, x.sum(1, keepdim=True), optimizers=SGD(lr=0.01), epochs=100, batch_size=2, seeds=0, threads=2,
        backend="compiled", progress=False,
    )  # fmt: skip
    assert not result.complete
    assert len(after) < 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    k = next(k for k, row in enumerate(result.table) if row["state"] == "interrupted" and row["epochs"])
    alone = Network(operators, connectivity, seed=k)
    fit_all(
        [alone], x, x.sum(1, keepdim=True), optimizers=SGD(lr=0.01), epochs=result.histories[k].epochs, batch_size=2,
        seeds=0, threads=2, backend="compiled", progress=False,
    )  # fmt: skip
    assert all(torch.equal(tensor, alone.parameters[name]) for name, tensor in nets[k].parameters.items())
