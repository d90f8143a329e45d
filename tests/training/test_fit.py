import numpy as np
import pytest
import torch

from graphdl import CrossEntropyLoss, EarlyStopping, Linear, MSELoss, Network, Tanh, evaluate, fit
from graphdl.data import disc, one_hot
from graphdl.errors import (
    SettingError,
)
from graphdl.optim import SGD, Adam

X, LABELS = disc(120, seed=0)
Y = one_hot(LABELS, 2)
SETTINGS = {"optimizer": Adam(lr=1e-2), "epochs": 3, "batch_size": 50}


def parameters_after(net, *data, **settings):
    fit(net, *data, **{**SETTINGS, **settings})
    return net.state_dict()


def fresh():
    operators = {"fc1": Linear(2, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=0)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_fit_is_the_loop_that_a_user_would_write():
    net = fresh()
    stepper = Adam(lr=1e-2).bind(net)
    losses = []
    for _ in range(3):
        epoch = []
        for start in range(0, 120, 50):
            x, y = X[start : start + 50], Y[start : start + 50]
            epoch.append((float(net.forward({"x": x, "target": y})["loss"]), len(x)))
            net.backward()
            stepper.step()
        losses.append(sum(loss * rows for loss, rows in epoch) / 120)
    ours = fresh()
    history = fit(ours, {"x": X, "target": Y}, **SETTINGS, shuffle=False)
    assert history["loss"] == pytest.approx(losses, rel=1e-6)
    for name, value in ours.parameters.items():
        torch.testing.assert_close(value, net.parameters[name], atol=1e-7, rtol=1e-6)


def test_fit_learns():
    history = fit(fresh(), {"x": X, "target": Y}, **{**SETTINGS, "epochs": 500}, metrics=("accuracy",))
    assert history["loss"][-1] < 0.1 < history["loss"][0]
    assert history["accuracy"][-1] > 0.9 > history["accuracy"][0]


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        ({"x": X}, Y),
        ({"x": X.numpy(), "target": Y.numpy()},),
        ({"x": X.numpy().astype(np.float64), "target": Y.tolist()},),
        (X.numpy(), Y.numpy()),
    ],
    ids=["tensor and targets", "dict and targets", "arrays", "float64 and lists", "array and targets"],
)
def test_all_forms_of_data_train_alike(data):
    assert_same(parameters_after(fresh(), *data, seed=3), parameters_after(fresh(), {"x": X, "target": Y}, seed=3))


@pytest.mark.parametrize("as_dict", [True, False])
def test_an_iterable_of_batches_needs_no_batch_size(as_dict):
    pairs = [(X[k : k + 50], Y[k : k + 50]) for k in range(0, 120, 50)]
    batches = [{"x": x, "target": y} for x, y in pairs] if as_dict else pairs
    net = fresh()
    fit(net, batches, optimizer=Adam(lr=1e-2), epochs=3)
    assert_same(net.state_dict(), parameters_after(fresh(), X, Y, shuffle=False))


def test_a_torch_data_loader_is_an_iterable_of_batches():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=50)
    net = fresh()
    fit(net, loader, optimizer=Adam(lr=1e-2), epochs=3)
    assert_same(net.state_dict(), parameters_after(fresh(), X, Y, shuffle=False))


def test_batches_that_a_generator_makes_can_be_used_with_autograd():
    made = []

    def batches():
        for _ in range(2):
            made.append(X * 1.0)
            yield made[-1], Y

    fit(fresh(), batches(), optimizer=Adam(), epochs=1)
    assert not any(tensor.is_inference() for tensor in made)


def test_a_generator_serves_one_epoch_only():
    with pytest.raises(SettingError, match="can be iterated only once, but epochs is 2"):
        fit(fresh(), ((X, Y) for _ in range(2)), optimizer=Adam(), epochs=2)


def test_an_implicit_target_is_found():
    net = Network({"fc": Linear(2, 2), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"]}, seed=0)
    assert net.inputs == ("x", "loss")
    assert len(fit(net, X, Y, **SETTINGS)["loss"]) == 3


def test_the_network_s_seed_decides_the_order_of_the_rows():
    assert_same(parameters_after(fresh(), X, Y), parameters_after(fresh(), X, Y))
    assert_same(parameters_after(fresh(), X, Y, seed=5), parameters_after(fresh(), X, Y, seed=5))
    a, b = parameters_after(fresh(), X, Y, seed=5), parameters_after(fresh(), X, Y, seed=6)
    assert not torch.equal(a["fc1.weight"], b["fc1.weight"])


def test_fit_builds_sizes_that_were_left_out():
    net = Network(
        {"fc": Linear(out_features=2), "loss": CrossEntropyLoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0
    )
    fit(net, X, LABELS, **SETTINGS)
    assert net.parameters["fc.weight"].shape == (2, 2)
    batchwise = Network(
        {"fc": Linear(out_features=2), "loss": CrossEntropyLoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0
    )
    fit(batchwise, [(X, LABELS)], optimizer=Adam(), epochs=1)
    assert batchwise.parameters["fc.weight"].shape == (2, 2)


@pytest.mark.parametrize("validation", [(X, Y), ({"x": X}, Y), {"x": X, "target": Y}, [{"x": X, "target": Y}]])
def test_validation_is_measured_after_each_epoch(validation):
    net = fresh()
    history = fit(net, X, Y, **SETTINGS, validation=validation, metrics=("accuracy",))
    assert set(history) == {"loss", "accuracy", "validation_loss", "validation_accuracy"}
    measured = evaluate(net, X, Y, metrics=("accuracy",))
    assert history["validation_loss"][-1] == pytest.approx(measured["loss"])
    assert history["validation_accuracy"][-1] == measured["accuracy"]


def test_validation_changes_nothing():
    assert_same(parameters_after(fresh(), X, Y, validation=(X, Y)), parameters_after(fresh(), X, Y))


def test_evaluate_is_independent_of_the_batches():
    net = fresh()
    whole = evaluate(net, X, Y, metrics=("accuracy",), batch_size=120)
    parts = evaluate(net, X, Y, metrics=("accuracy",), batch_size=7)
    assert parts == pytest.approx(whole)
    expected = float(torch.nn.functional.mse_loss(net.predict(X), Y))
    assert whole["loss"] == pytest.approx(expected)


def test_several_weighted_losses_are_summed_and_listed():
    operators = {"a": Linear(2, 2), "b": Linear(2, 2), "left": MSELoss(weight=0.25), "right": MSELoss(weight=2.0)}
    connectivity = {"x": ["a", "b"], "a": ["left"], "b": ["right"], "target": ["left", "right"]}
    net = Network(operators, connectivity, seed=0)
    figures = evaluate(net, {"x": X, "target": Y}, metrics=("accuracy",))
    assert set(figures) == {"loss", "loss_of_left", "loss_of_right", "accuracy_of_left", "accuracy_of_right"}
    assert figures["loss"] == pytest.approx(0.25 * figures["loss_of_left"] + 2 * figures["loss_of_right"])
    history = fit(net, X, Y, **SETTINGS)
    assert set(history) == {"loss", "loss_of_left", "loss_of_right"}


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_losses_that_are_not_means_train_too(reduction):
    operators = {"fc": Linear(2, 2), "loss": MSELoss(reduction=reduction)}
    net = Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}, seed=0)
    history = fit(net, X, Y, optimizer=SGD(lr=1e-3), epochs=5, batch_size=50)
    assert history["loss"][-1] < history["loss"][0]


def test_callbacks_see_the_history_and_end_training():
    seen = []

    def callback(net, history):
        seen.append((history.epochs, history["loss"][-1]))
        return history.epochs == 2

    history = fit(fresh(), X, Y, **{**SETTINGS, "epochs": 10}, callbacks=[callback])
    assert history.epochs == 2
    assert [epoch for epoch, _ in seen] == [1, 2]


def test_a_callback_may_freeze():
    net = fresh()
    held = {}

    def callback(net, history):
        if history.epochs == 1:
            net.freeze("fc1")
            held.update(net.state_dict())

    fit(net, X, Y, **SETTINGS, callbacks=[callback])
    assert torch.equal(net.parameters["fc1.weight"], held["fc1.weight"])
    assert not torch.equal(net.parameters["fc2.weight"], held["fc2.weight"])


def test_frozen_parts_cost_and_change_nothing():
    net = fresh()
    net.freeze("fc1")
    before = net.state_dict()
    after = parameters_after(net, X, Y)
    assert torch.equal(before["fc1.weight"], after["fc1.weight"])
    assert not torch.equal(before["fc2.weight"], after["fc2.weight"])


def lazy():
    operators = {"fc": Linear(out_features=2), "loss": MSELoss()}
    return Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}, seed=0)


@pytest.mark.parametrize(
    "first", [lambda net: evaluate(net, X, Y), lambda net: fit(net, [(X, Y)], optimizer=SGD(), epochs=1)]
)
def test_parameters_made_by_a_first_pass_are_ordinary_tensors(first):
    net = lazy()
    first(net)
    assert not any(tensor.is_inference() for tensor in net.parameters.values())
    net.parameters["fc.bias"] = torch.zeros(2)
    fit(net, X, Y, **SETTINGS)


def test_validation_batches_are_gone_through_every_epoch():
    history = fit(fresh(), X, Y, **SETTINGS, validation=[(X, Y), (X, Y)])
    assert len(history["validation_loss"]) == 3
    with pytest.raises(SettingError, match="validation can be iterated only once"):
        fit(fresh(), X, Y, **SETTINGS, validation=iter([(X, Y)]))


def test_figures_of_one_name_are_refused():
    def loss(prediction, target):
        return 0.0

    with pytest.raises(SettingError, match="The name 'loss' is used twice"):
        fit(fresh(), X, Y, **SETTINGS, metrics=(loss,))
    with pytest.raises(SettingError, match="Two metrics are called"):
        fit(fresh(), X, Y, **SETTINGS, metrics=(lambda p, t: 0.0, lambda p, t: 1.0))


def test_nothing_to_measure_is_told():
    with pytest.raises(SettingError, match="inputs has no batches"):
        evaluate(fresh(), [])


def test_fit_ends_with_the_best_parameters():
    def spoil(net, history):
        if history.epochs >= 3:
            net.parameters["fc2.bias"].add_(5.0)

    net, again = fresh(), fresh()
    stopping = EarlyStopping("loss", patience=50)
    fit(net, X, Y, **{**SETTINGS, "epochs": 6}, shuffle=False, callbacks=[stopping, spoil])
    fit(again, X, Y, **SETTINGS, shuffle=False)
    assert stopping.best_epoch == 3
    assert_same(net.state_dict(), again.state_dict())
