import math

import pytest
import torch

from graphdl import EarlyStopping, Linear, MSELoss, Network, fit
from graphdl.errors import SettingError
from graphdl.optim import SGD
from graphdl.training import Callback, History, ReduceOnPlateau
from graphdl.training.hooks import HOOKS, Callbacks

X, Y = torch.randn(12, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(12, 2)


def drive(callback, net, figures, name="validation_loss", stepper=None):
    """Call it as fit does; return the epoch in which it ended training."""
    history, ended = History(), None
    calls = Callbacks([callback])
    with calls.around(net, stepper or SGD().bind(net), history):
        for k, figure in enumerate(figures, 1):
            net.parameters["fc1.bias"].fill_(k)
            calls.epoch_start()
            history.append({name: figure})
            if calls.epoch_end():
                ended = k
                break
    return ended


def test_it_stops_after_patience_and_restores_the_best(net):
    stopping = EarlyStopping(patience=2)
    assert drive(stopping, net, [3, 1, 2, 1.5, 0]) == 4
    assert stopping.best_epoch == 2
    assert torch.equal(net.parameters["fc1.bias"], torch.full((8,), 2.0))


def test_it_goes_on_while_the_figure_falls(net):
    assert drive(EarlyStopping(patience=1), net, [3, 2, 1]) is None


def test_it_can_maximise(net):
    stopping = EarlyStopping("validation_accuracy", patience=1, maximise=True)
    assert drive(stopping, net, [0.1, 0.5, 0.4], "validation_accuracy") == 3


def test_it_starts_anew_with_a_new_fit(net):
    stopping = EarlyStopping(patience=1)
    assert drive(stopping, net, [1, 2]) == 2
    assert drive(stopping, net, [5, 4, 6]) == 3


def test_the_best_parameters_are_restored_without_an_early_end(net):
    assert drive(EarlyStopping(patience=9), net, [3, 1, 2]) is None
    assert torch.equal(net.parameters["fc1.bias"], torch.full((8,), 2.0))


def test_a_first_figure_that_is_no_number_is_no_best(net):
    assert drive(EarlyStopping(patience=9), net, [float("nan"), 2, 3]) is None
    assert torch.equal(net.parameters["fc1.bias"], torch.full((8,), 2.0))


@pytest.mark.parametrize("maximise", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"factor": 0.5, "patience": 2},
        {"factor": 0.1, "patience": 0},
        {"factor": 0.3, "patience": 1, "cooldown": 3, "threshold": 0.2},
        {"factor": 0.1, "patience": 1, "least": 1e-3},
    ],
)
def test_plateaus_lower_the_rates_as_in_torch(settings, maximise, net):
    figures = (torch.rand(80, generator=torch.Generator().manual_seed(1)) + torch.linspace(2, 0.5, 80)).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = {name: value for name, value in settings.items() if name != "least"}
    mode, least = "max" if maximise else "min", settings.get("least", 0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, min_lr=least, eps=0, **theirs)
    callback, stepper, scales = ReduceOnPlateau("loss", maximise=maximise, **settings), SGD().bind(net), set()
    for start in (0, 37):  # it goes on with the same stepper
        for end in range(start, 37 if start == 0 else 80):
            drive(callback, net, figures[end : end + 1], "loss", stepper)
            reference.step(figures[end])
            assert stepper.scale == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
            scales.add(stepper.scale)
    assert len(scales) > 2


def test_plateaus_begin_anew_with_another_stepper(net):
    callback, first, second = ReduceOnPlateau("loss", patience=1), SGD().bind(net), SGD().bind(net)
    drive(callback, net, [1, 2, 2], "loss", first)
    drive(callback, net, [3, 3], "loss", second)
    assert (first.scale, second.scale) == (0.1, 1.0)


class Everything(Callback):
    def __init__(self):
        self.calls = []

    def on_fit_start(self, net, stepper, history):
        self.calls.append(("start", stepper.steps, history.epochs))

    def on_epoch_start(self, net, stepper, history):
        self.calls.append(("epoch", stepper.steps, history.epochs))

    def on_epoch_end(self, net, stepper, history):
        self.calls.append(("epoch end", stepper.steps, history.epochs))
        return history.epochs == 2

    def on_fit_end(self, net, stepper, history):
        self.calls.append(("end", stepper.steps, history.epochs))


class Failing:
    def on_epoch_end(self, net, stepper, history):
        raise KeyboardInterrupt


class Scaling:
    def on_epoch_end(self, net, stepper, history):
        stepper.scale = 0.0


def test_fit_calls_them(net):
    seen = Everything()
    fit(net, X, Y, optimizer=SGD(), epochs=9, batch_size=6, callbacks=[seen], progress=False)
    assert seen.calls == [
        ("start", 0, 0), ("epoch", 0, 0), ("epoch end", 2, 1), ("epoch", 2, 1), ("epoch end", 4, 2), ("end", 4, 2)
    ]  # fmt: skip


def test_the_end_comes_when_training_is_interrupted(net):
    stopping, seen = EarlyStopping("loss"), Everything()

    def spoil(net, history):
        net.parameters["fc1.bias"].fill_(7.0)

    with pytest.raises(KeyboardInterrupt):
        fit(net, X, Y, optimizer=SGD(), epochs=9, batch_size=6, callbacks=[stopping, seen, spoil, Failing()])
    assert seen.calls[-1][0] == "end"
    assert not torch.any(net.parameters["fc1.bias"] == 7.0)


def test_a_callback_changes_the_rate(net):
    states = []
    fit(
        net, X, Y, optimizer=SGD(lr=0.1), epochs=2, batch_size=12, progress=False,
        callbacks=[Scaling(), lambda net, history: states.append(net.state_dict())],
    )  # fmt: skip
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_an_answer_that_is_neither_true_nor_false_is_refused(net):
    with pytest.raises(
        SettingError, match=r"on_epoch_end returned tensor.*; it must return True to end training, or None"
    ):
        drive(lambda net, history: net.parameters["fc1.bias"], net, [1])


def test_steps_are_called_for_those_who_want_them(net):
    class Counting:
        count = 0

        def on_step_end(self, net, stepper, history):
            self.count += 1
            return self.count == 3

    counting = Counting()
    calls = Callbacks([Everything(), counting])
    assert calls.wants_steps
    assert not Callbacks([Everything(), Callback(), lambda net, history: None]).wants_steps
    with calls.around(net, SGD().bind(net), History()):
        assert [calls.step_end() for _ in range(3)] == [False, False, True]


def test_a_step_ends_training(net):
    class Ending:
        def on_step_end(self, net, stepper, history):
            return stepper.steps == 3

    seen = Everything()
    callbacks = [Ending(), seen]
    history = fit(net, X, Y, optimizer=SGD(), epochs=9, batch_size=6, callbacks=callbacks, progress=False)
    assert history.epochs == 2
    assert seen.calls[-2:] == [("epoch end", 3, 2), ("end", 3, 2)]


def test_all_are_called_at_the_end_even_if_one_fails(net):
    class Bad:
        def on_fit_end(self, net, stepper, history):
            raise ValueError("bad end")

    seen = Everything()
    calls = Callbacks([Bad(), seen])
    with pytest.raises(ValueError, match="bad end"), calls.around(net, SGD().bind(net), History()):
        pass
    assert seen.calls[-1][0] == "end"
    calls.end()


class Misspelt(Callback):
    def on_epoch_ends(self, net, stepper, history):
        return True


class Wrong:
    def on_epoch_end(self, net, history):
        return True


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (EarlyStopping(), r"callbacks must be a sequence such as \[EarlyStopping\(\)\], not <"),
        (lambda net, history: None, "callbacks must be a sequence"),
        ("stop", "callbacks must be a sequence"),
        (None, "callbacks must be a sequence"),
        ([EarlyStopping], r"callbacks\[0\] is the class EarlyStopping: write EarlyStopping\(...\)"),
        ([EarlyStopping(), 3], r"callbacks\[1\] is 3, which is not a callback"),
        ([Misspelt()], r"callbacks\[0\] \(Misspelt\) has a method on_epoch_ends, .* Did you mean 'on_epoch_end'"),
        ([Wrong()], r"\(Wrong\): on_epoch_end takes \(net, history\), but fit calls it with \(net, stepper, history\)"),
        ([lambda net: None], r"takes \(net\), but fit calls it with \(net, history\)"),
        ([lambda net, stepper, history: None], "but fit calls it with"),
    ],
)
def test_what_is_no_callback_is_refused_before_training(given, text, net):
    before = net.state_dict()
    with pytest.raises(SettingError, match=text):
        fit(net, X, Y, optimizer=SGD(), epochs=1, batch_size=6, callbacks=given)
    assert all(torch.equal(net.parameters[name], before[name]) for name in net.parameters)


def test_a_method_of_another_name_is_told_the_names():
    class Other:
        def on_xyz(self):
            pass

    with pytest.raises(SettingError, match=f"fit calls {', '.join(HOOKS[:-1])} and {HOOKS[-1]}"):
        Callbacks([Other()])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EarlyStopping(patience=0), "EarlyStopping: patience must be a number of epochs, 1 or more, not 0"),
        (
            lambda: EarlyStopping(5),
            "EarlyStopping: monitor must be the name of a loss or metric, as 'validation_loss', not 5",
        ),
        (lambda: EarlyStopping(maximise=1), "EarlyStopping: maximise must be True or False"),
        (
            lambda: ReduceOnPlateau(patience=-1),
            "ReduceOnPlateau: patience must be a number of epochs, 0 or more, not -1",
        ),
        (lambda: ReduceOnPlateau(factor=1.0), r"ReduceOnPlateau: factor must be a number in \[0, 1\), not 1.0"),
        (lambda: ReduceOnPlateau(threshold="a"), "ReduceOnPlateau: threshold must be a number"),
        (lambda: ReduceOnPlateau(cooldown=1.5), "ReduceOnPlateau: cooldown must be a number of epochs"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(SettingError, match=text):
        make()


def test_a_monitor_is_checked_before_training_if_the_figures_are_known(net):
    calls = Callbacks([EarlyStopping("validation_los")])
    calls.check(["loss", "validation_los"])
    with pytest.raises(SettingError, match=r"no 'validation_los' to monitor. Did you mean 'validation_loss'"):
        calls.check(["loss", "validation_loss"])
    with pytest.raises(SettingError, match=r"history has loss\. It needs validation data: validation="):
        calls.check(["loss"])
    fitted = {"optimizer": SGD(), "epochs": 1, "batch_size": 6, "callbacks": [EarlyStopping()]}
    with pytest.raises(SettingError, match=r"no 'validation_loss' to monitor. The history has loss"):
        fit(net, X, Y, **fitted)
    fit(net, X, Y, **fitted, validation=(X, Y), progress=False)
    Callbacks([EarlyStopping("own"), lambda net, history: history.append({"own": 1.0})]).check(["loss"])


def test_a_figure_that_is_not_measured_is_reported_after_the_first_epoch(net):
    with pytest.raises(SettingError, match="no 'validation_loss' to monitor"):
        drive(EarlyStopping(), net, [1], "loss")


def test_a_network_that_changes_between_accumulated_batches_is_refused():
    class Freezing:
        def on_step_end(self, net, stepper, history):
            if stepper.steps == 1:
                net.freeze("fc1")

    operators = {"fc1": Linear(2, 3), "fc2": Linear(3, 1), "loss": MSELoss()}
    net = Network(operators, {"x": ["fc1"], "fc1": ["fc2"], "fc2": ["loss"], "y": ["loss"]}, seed=0)
    data = {"x": torch.rand(40, 2), "y": torch.rand(40, 1)}
    with pytest.raises(SettingError, match=r"^The network has changed after 1 of 4 batches of an update"):
        fit(net, data, optimizer=SGD(lr=0.1), epochs=2, batch_size=4, accumulate=4, callbacks=[Freezing()])


def test_early_stopping_counts_epochs_without_a_number_from_the_start():
    calls = []
    stop = EarlyStopping("figure", patience=3)

    def step(figure):
        calls.append(figure)
        history.append({"figure": figure})
        return stop.on_epoch_end(net, None, history)

    for figures, ends, best in (
        ([math.nan] * 3, [False, False, True], 0),
        ([math.nan, 2.0, math.nan, math.nan, math.nan], [False, False, False, False, True], 2),
        ([math.inf, math.nan, 1.0], [False, False, False], 3),
    ):
        net, history = Network({"fc": Linear(2, 1)}, {"x": ["fc"]}, seed=0), History()
        stop.on_fit_start(net, None, history)
        assert [step(figure) for figure in figures] == ends
        assert stop.best_epoch == best
