"""One thread trains a network at a time."""

import threading

import pytest
import torch

from graphdl import Linear, MSELoss, Network, fit, minimize
from graphdl.errors import SettingError
from graphdl.optim import SGD

X, Y = torch.ones(8, 2), torch.zeros(8, 1)


def network():
    operators = {"fc": Linear(2, 3), "out": Linear(3, 1), "loss": MSELoss()}
    return Network(operators, {"x": ["fc"], "fc": ["out"], "out": ["loss"], "y": ["loss"]}, seed=0)


def in_a_thread(function):
    """What a function raises in another thread; None if it returns."""
    found = []

    def call():
        try:
            function()
            found.append(None)
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return found[0]


def train(net, **settings):
    return fit(net, X, Y, optimizer=SGD(lr=0.1), epochs=1, batch_size=4, progress=False, **settings)


LOOPS = {
    "fit": lambda net: train(net),
    "minimize": lambda net: minimize(net, X, Y, progress=False),
    "net.forward": lambda net: net.forward({"x": X, "y": Y}),
}


@pytest.mark.parametrize("what", LOOPS)
@pytest.mark.parametrize("part", [False, True])
def test_another_thread_is_refused_during_training(what, part):
    net, found = network(), []
    other = net.part(inputs=["fc", "y"], outputs=["loss"]) if part else net
    data = {"fc": torch.ones(8, 3), "y": Y} if part else {"x": X, "y": Y}
    calls = {"fit": lambda: fit(other, data, optimizer=SGD(lr=0.1), epochs=1, batch_size=4, progress=False),
             "minimize": lambda: minimize(other, data, progress=False),
             "net.forward": lambda: other.forward(data)}  # fmt: skip
    train(net, callbacks=[lambda net, history: found.append(in_a_thread(calls[what])) and None])
    assert isinstance(found[0], SettingError)
    assert str(found[0]).startswith(f"{what}: another thread is training this network, or a part of it.")


def test_the_network_is_free_afterwards_even_if_training_fails():
    net = network()
    with pytest.raises(ZeroDivisionError):
        train(net, callbacks=[lambda net, history: 1 / 0])
    assert in_a_thread(lambda: train(net)) is None


def test_training_within_training_and_predictions_beside_it_are_allowed():
    net, found = network(), []

    def inner(net, history):
        train(net)
        found.append(in_a_thread(lambda: net.predict(X)))

    train(net, callbacks=[inner])
    assert found == [None]


def test_a_custom_loop_stays_in_its_thread():
    net = network()
    stepper = SGD(lr=0.1).bind(net)
    net.forward({"x": X, "y": Y})
    net.backward()
    assert in_a_thread(lambda: net.forward({"x": X, "y": Y})) is None
    with pytest.raises(SettingError, match=r"^net\.backward: another thread has called net\.forward since"):
        net.backward()
    with pytest.raises(SettingError, match=r"^stepper\.step: another thread has called net\.forward since"):
        stepper.step()
    assert in_a_thread(lambda: loop(net, stepper)) is None  # a whole loop may move to another thread
    loop(net, stepper)


def loop(net, stepper):
    for _ in range(2):
        net.forward({"x": X, "y": Y})
        net.backward()
        stepper.step()
