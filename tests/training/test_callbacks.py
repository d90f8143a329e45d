import pytest
import torch

from graphdl import EarlyStopping
from graphdl.errors import SettingError
from graphdl.training import History


def drive(stopping, net, figures, name="validation_loss"):
    history = History()
    for k, figure in enumerate(figures, 1):
        net.parameters["fc1.bias"].fill_(k)
        history.append({name: figure})
        if stopping(net, history):
            break
    else:
        k = None
    stopping.restore(net)
    return k


def test_it_stops_after_patience_and_restores_the_best(net):
    assert drive(EarlyStopping(patience=2), net, [3, 1, 2, 1.5, 0]) == 4
    assert torch.equal(net.parameters["fc1.bias"], torch.full((8,), 2.0))


def test_it_goes_on_while_the_figure_falls(net):
    assert drive(EarlyStopping(patience=1), net, [3, 2, 1]) is None


def test_it_can_maximise(net):
    stopping = EarlyStopping("validation_accuracy", patience=1, maximise=True)
    assert drive(stopping, net, [0.1, 0.5, 0.4], "validation_accuracy") == 3


def test_it_starts_anew_with_a_new_history(net):
    stopping = EarlyStopping(patience=1)
    assert drive(stopping, net, [1, 2]) == 2
    assert drive(stopping, net, [5, 4, 6]) == 3


def test_a_figure_that_is_not_measured_is_told(net):
    with pytest.raises(SettingError, match="no 'validation_loss'"):
        drive(EarlyStopping(), net, [1], "loss")


def test_patience_is_checked():
    with pytest.raises(SettingError, match="patience is a number of epochs"):
        EarlyStopping(patience=0)


def test_the_best_parameters_are_restored_without_an_early_end(net):
    assert drive(EarlyStopping(patience=9), net, [3, 1, 2]) is None
    assert torch.equal(net.parameters["fc1.bias"], torch.full((8,), 2.0))


def test_a_first_figure_that_is_no_number_is_no_best(net):
    assert drive(EarlyStopping(patience=9), net, [float("nan"), 2, 3]) is None
    assert torch.equal(net.parameters["fc1.bias"], torch.full((8,), 2.0))
