"""What somebody who comes from torch tries first."""

import itertools

import pytest
import torch

from graphdl import EarlyStopping, Linear, MSELoss, Network, Operator, fit
from graphdl.errors import GradientError, SettingError
from graphdl.optim import SGD, Adam
from tests.twins import needs_compiler

DATA = {"x": torch.ones(8, 2), "y": torch.zeros(8, 1)}


def network(middle=None):
    operators = {"fc": Linear(2, 1), **({"middle": middle} if middle else {}), "loss": MSELoss()}
    chain = ["x", *operators]
    return Network(operators, {a: [b] for a, b in itertools.pairwise(chain)} | {"y": ["loss"]}, seed=0)


def test_an_optimizer_of_torch_is_refused_by_its_whole_name():
    with pytest.raises(SettingError, match=r"not an instance of torch\.optim\.adam\.Adam\.$"):
        fit(network(), DATA, optimizer=torch.optim.Adam([torch.ones(1)]), epochs=1, batch_size=4)
    with pytest.raises(SettingError, match=r"not the class graphdl\.optim\.adam\.Adam\.$"):
        fit(network(), DATA, optimizer=Adam, epochs=1, batch_size=4)


def test_a_type_in_place_of_a_device():
    with pytest.raises(SettingError, match=r"^device=torch\.float64 is a type: write dtype=torch\.float64\.$"):
        network().to(torch.float64)


def test_accuracy_is_better_when_it_is_higher():
    assert EarlyStopping("validation_accuracy").maximise
    assert not EarlyStopping("validation_loss").maximise
    assert not EarlyStopping("validation_accuracy", maximise=False).maximise


class Misnamed(Operator):
    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        return (dy,), {"w": dy}


def test_a_gradient_of_no_parameter_is_refused():
    with pytest.raises(GradientError, match=r"^middle \(Misnamed\): its backward returned a gradient of 'w'"):
        fit(network(Misnamed()), DATA, optimizer=SGD(), epochs=1, batch_size=4)


@needs_compiler
def test_steps_are_compiled_for_a_stepper():
    net = network()
    stepper = Adam(lr=0.1).bind(net)
    net.compile(stepper, {name: tensor[:4] for name, tensor in DATA.items()})(
        {name: tensor.view(2, 4, -1) for name, tensor in DATA.items()}
    )
    assert stepper.steps == 2
    with pytest.raises(SettingError, match="a stepper of this network"):
        network().compile(stepper, DATA)
