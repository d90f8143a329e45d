"""Metrics over all rows: scikit-learn's, over batches of any size, with ignored labels, in every way a step is made."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from graphdl import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    EarlyStopping,
    GraphDLError,
    Linear,
    MSELoss,
    MultiLabelSoftMarginLoss,
    Network,
    NLLLoss,
    PoissonNLLLoss,
    SoftMarginLoss,
    Weighted,
    evaluate,
    fit,
    minimize,
)
from graphdl.errors import GraphDLWarning, SettingError
from graphdl.metrics import AUC, F1, MAE, METRICS, R2, RMSE, Precision, Recall, TopKAccuracy, is_maximised, named_metric
from graphdl.optim import SGD
from graphdl.search import fit_all
from tests.twins import needs_compiler

G = torch.Generator().manual_seed(0)
ROWS = 103
X = torch.randn(ROWS, 6, generator=G)
LABELS = (X + torch.randn(ROWS, 6, generator=G)).argmax(1)
IGNORED = torch.where(torch.arange(ROWS) % 7 < 2, -100, LABELS)
IGNORED[:20] = -100  # a whole batch
NUMBERS = X[:, :2] + torch.randn(ROWS, 2, generator=G)
WAYS = [{}, pytest.param({"compile": True}, marks=needs_compiler)]


def passing(loss, width=6, **settings):
    """A network that predicts its input."""
    net = Network({"fc": Linear(width, width), "loss": loss}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, **settings)
    net.parameters["fc.weight"], net.parameters["fc.bias"] = torch.eye(width), torch.zeros(width)
    return net


def expected_of_classes(x, labels):
    """What scikit-learn says of rows with labels."""
    x, labels = x[labels != -100], labels[labels != -100]
    scores, wanted = x.double().softmax(1).numpy(), labels.numpy()
    predicted = scores.argmax(1)
    found = {"accuracy": reference.accuracy_score(wanted, predicted)}
    for name, function in (
        ("precision", reference.precision_score), ("recall", reference.recall_score), ("f1", reference.f1_score),
    ):  # fmt: skip
        for average in ("macro", "micro", "weighted"):
            found[f"{name}_{average}"] = function(wanted, predicted, average=average, zero_division=0)
        found[name] = found[f"{name}_macro"]
    found["auc"] = reference.roc_auc_score(wanted, scores, multi_class="ovr", labels=range(6))
    found["auc_weighted"] = reference.roc_auc_score(
        wanted, scores, multi_class="ovr", average="weighted", labels=range(6)
    )
    for k in (1, 2, 5):
        found[f"top_{k}_accuracy"] = reference.top_k_accuracy_score(wanted, scores, k=k, labels=range(6))
    return found


AVERAGED = [kind(average=average) for kind in (Precision, Recall, F1) for average in ("macro", "micro", "weighted")]
BY_CLASS = ["accuracy", "precision", "recall", "f1", "auc", "top_1_accuracy", "top_2_accuracy", TopKAccuracy(5)]
BY_CLASS += [*AVERAGED, AUC(average="weighted")]


@pytest.mark.filterwarnings("ignore:.*expects logarithms:graphdl.errors.GraphDLWarning")  # Linear passes X on
@pytest.mark.parametrize("batch_size", [1, 7, 20, ROWS])
@pytest.mark.parametrize("labels", [LABELS, IGNORED], ids=["all", "ignored"])
@pytest.mark.parametrize("loss", [CrossEntropyLoss(), NLLLoss(), Weighted(CrossEntropyLoss())], ids=str)
def test_metrics_of_classes_are_those_of_scikit_learn(loss, labels, batch_size):
    if batch_size == 1 and labels is IGNORED:
        batch_size = 3
    data = {"x": X, "y": labels}
    if isinstance(loss, Weighted):
        data["loss"] = torch.ones(ROWS)
    net = passing(loss)
    if labels is IGNORED:  # the mean loss of a batch in which nothing counts is not a number
        net = passing(Weighted(CrossEntropyLoss(reduction="sum")) if len(data) > 2 else type(loss)(reduction="sum"))
    found = evaluate(net, data, metrics=BY_CLASS, batch_size=batch_size)
    expected = expected_of_classes(X, labels)
    assert found.keys() == expected.keys() | {"loss"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_one_hot_targets_name_classes():
    found = evaluate(passing(MSELoss()), X, torch.nn.functional.one_hot(LABELS, 6).float(), metrics=["f1", "recall"])
    expected = expected_of_classes(X, LABELS)
    assert {name: found[name] for name in ("f1", "recall")} == pytest.approx(
        {name: expected[name] for name in ("f1", "recall")}
    )


@pytest.mark.parametrize("target", [(LABELS > 2)[:, None], (LABELS > 2).float()[:, None], (LABELS > 2).long()])
def test_two_classes_by_one_logit(target):
    x, wanted = X[:, :1], (LABELS > 2).numpy()
    net = passing(BCEWithLogitsLoss(), 1)
    names = ["precision", "recall", "f1", "auc", Precision(average="macro")]
    if target.dim() == 1:
        net, x = Network({"loss": BCEWithLogitsLoss()}, {"x": ["loss"], "y": ["loss"]}), X[:, 0]
    found = evaluate(net, x if target.dim() > 1 else {"x": x, "y": target}, target if target.dim() > 1 else None,
                     metrics=names, batch_size=10)  # fmt: skip
    predicted, scores = x.reshape(-1).numpy() > 0, x.reshape(-1).numpy()
    assert found["precision"] == pytest.approx(reference.precision_score(wanted, predicted))
    assert found["recall"] == pytest.approx(reference.recall_score(wanted, predicted))
    assert found["f1"] == pytest.approx(reference.f1_score(wanted, predicted))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(wanted, scores))
    assert found["precision_macro"] == pytest.approx(reference.precision_score(wanted, predicted, average="macro"))


def test_two_classes_by_two_logits():
    wanted = (LABELS > 2).long()
    found = evaluate(passing(CrossEntropyLoss(), 2), X[:, :2], wanted, metrics=["f1", "auc"], batch_size=10)
    predicted, scores = X[:, :2].argmax(1).numpy(), X[:, :2].double().softmax(1)[:, 1].numpy()
    assert found["f1"] == pytest.approx(reference.f1_score(wanted.numpy(), predicted))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(wanted.numpy(), scores))


def test_several_labels_for_each_row():
    wanted = (X + torch.randn(ROWS, 6, generator=G) > 0).long()
    net = passing(MultiLabelSoftMarginLoss())
    found = evaluate(net, X, wanted, metrics=["f1", "auc", Recall(average="micro")], batch_size=10)
    predicted = (X > 0).long().numpy()
    assert found["f1"] == pytest.approx(reference.f1_score(wanted.numpy(), predicted, average="macro"))
    assert found["recall_micro"] == pytest.approx(reference.recall_score(wanted.numpy(), predicted, average="micro"))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(wanted.numpy(), X.numpy()))


def test_pixels_have_classes():
    x, labels = torch.randn(5, 3, 4, 4, generator=G), torch.randint(3, (5, 4, 4), generator=G)
    labels[0] = -100
    net = Network({"loss": CrossEntropyLoss(reduction="sum")}, {"x": ["loss"], "y": ["loss"]})
    found = evaluate(net, {"x": x, "y": labels}, metrics=["accuracy", "f1", "top_2_accuracy"], batch_size=2)
    flat, wanted = x.movedim(1, -1).reshape(-1, 3), labels.reshape(-1)
    flat, wanted = flat[wanted != -100].numpy(), wanted[wanted != -100].numpy()
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(wanted, flat.argmax(1)))
    assert found["f1"] == pytest.approx(reference.f1_score(wanted, flat.argmax(1), average="macro"))
    assert found["top_2_accuracy"] == pytest.approx(reference.top_k_accuracy_score(wanted, flat, k=2))


@pytest.mark.parametrize("batch_size", [1, 7, ROWS])
def test_metrics_of_numbers_are_those_of_scikit_learn(batch_size):
    found = evaluate(passing(MSELoss(), 2), X[:, :2], NUMBERS, metrics=["mae", "rmse", "r2"], batch_size=batch_size)
    x, y = X[:, :2].double().numpy(), NUMBERS.double().numpy()
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(y, x))
    assert found["rmse"] == pytest.approx(math.sqrt(reference.mean_squared_error(y, x)))
    assert found["r2"] == pytest.approx(reference.r2_score(y, x))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("labels", [LABELS, IGNORED], ids=["all", "ignored"])
def test_the_history_is_that_of_the_predictions_of_each_step(way, labels):
    """A rate of 0 keeps the network as it is: training and validation figures are those of the data set."""
    expected = expected_of_classes(X, labels)
    history = fit(
        passing(CrossEntropyLoss(reduction="sum")), X, labels, optimizer=SGD(lr=0.0), epochs=3, batch_size=10,
        validation=(X, labels), metrics=BY_CLASS, progress=False, **way,
    )  # fmt: skip
    assert history.epochs == 3
    for name, value in expected.items():
        assert history[name] == pytest.approx([value] * 3, abs=1e-9), name
        assert history[f"validation_{name}"] == pytest.approx([value] * 3, abs=1e-9), name


@needs_compiler
def test_ways_agree_and_several_epochs_by_one_call_are_told_apart():
    """Without validation, compiled training makes several epochs at once."""
    how = {"optimizer": SGD(lr=0.5), "epochs": 12, "batch_size": 10, "progress": False, "seed": 0, "drop_last": True}
    histories = [
        fit(
            passing(CrossEntropyLoss(), dtype=torch.float64), X, LABELS, metrics=["f1", "auc", "accuracy"], **how, **way
        )
        for way in ({}, {"compile": True})
    ]
    for name in ("f1", "auc", "accuracy", "loss"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-9)
        assert len(set(histories[0][name])) > 3
    assert list(histories[0]) == ["loss", "f1", "auc", "accuracy"]


def test_minimize_and_sweeps_have_them():
    history = minimize(passing(CrossEntropyLoss()), X, LABELS, max_iterations=3, metrics=["f1"], progress=False)
    assert len(history["f1"]) == history.epochs
    nets = [passing(CrossEntropyLoss()) for _ in range(2)]
    found = fit_all(
        nets, X, LABELS, optimizers=SGD(lr=0.1), epochs=2, batch_size=50, metrics=["f1", F1(average="micro")]
    )
    assert {len(each["f1_micro"]) for each in found.histories} == {2}
    alone = passing(CrossEntropyLoss())
    history = fit(alone, X, LABELS, optimizer=SGD(lr=0.1), epochs=2, batch_size=50, metrics=["f1"], progress=False)
    assert len(history["f1"]) == 2


def test_several_losses_have_their_own():
    net = Network(
        {"a": Linear(6, 6), "left": CrossEntropyLoss(), "right": MSELoss(), "counts": PoissonNLLLoss()},
        {"x": ["a"], "a": ["left", "right", "counts"], "y": ["left"], "z": ["right"], "n": ["counts"]},
    )
    found = evaluate(net, {"x": X, "y": LABELS, "z": X, "n": X.abs()}, metrics=["f1"])
    assert [name for name in found if name.startswith("f1")] == ["f1_of_left", "f1_of_right"]


def test_early_stopping_knows_what_is_maximised():
    higher = [
        "accuracy",
        "validation_f1",
        "auc_of_left",
        "validation_r2",
        "top_3_accuracy",
        "precision_macro",
        "recall",
    ]
    assert all(EarlyStopping(name).maximise for name in higher)
    assert not any(EarlyStopping(name).maximise for name in ("loss", "validation_loss", "mae", "rmse_of_left", "top_k"))
    assert {name for name in METRICS if not is_maximised(name)} == {"mae", "rmse"}
    assert isinstance(named_metric("top_12_accuracy"), TopKAccuracy)


def test_where_there_is_nothing_to_measure():
    zeros = torch.zeros(ROWS, dtype=torch.long)
    found = evaluate(passing(CrossEntropyLoss()), X, zeros, metrics=["auc", "precision"])
    assert math.isnan(found["auc"])
    assert 0 <= found["precision"] <= 1
    nothing = torch.full((ROWS,), -100)
    found = evaluate(
        passing(CrossEntropyLoss(reduction="sum")), X, nothing, metrics=["accuracy", "f1", "top_2_accuracy"]
    )
    assert all(math.isnan(found[name]) for name in ("accuracy", "f1", "top_2_accuracy"))
    assert math.isnan(evaluate(passing(MSELoss(), 2), X[:1, :2], NUMBERS[:1], metrics=["r2"])["r2"])


def test_accuracy_is_a_share_in_double_precision():
    """0.98 and not 0.9800000190734863."""
    x = torch.eye(2).repeat(25, 1)
    labels = torch.arange(2).repeat(25)
    labels[0] = 1
    assert evaluate(passing(CrossEntropyLoss(), 2), x, labels, metrics=["accuracy"])["accuracy"] == 0.98


@pytest.mark.parametrize(
    ("metric", "loss", "target", "text"),
    [
        (
            "precison",
            CrossEntropyLoss(),
            LABELS,
            r"no metric 'precison'\. Did you mean 'precision'\?.*graphdl\.metrics",
        ),
        ("top_0_accuracy", CrossEntropyLoss(), LABELS, r"There is no metric 'top_0_accuracy'"),
        ("top_6_accuracy", CrossEntropyLoss(), LABELS, r"top_6_accuracy needs predictions of more than 6 classes"),
        (F1, CrossEntropyLoss(), LABELS, r"A metric is the class F1: write F1\(\)"),
        ("f1", PoissonNLLLoss(), X.abs(), r"There is no f1 for PoissonNLLLoss, whose targets do not name the class"),
        ("mae", CrossEntropyLoss(), LABELS, r"mae cannot compare predictions \(103, 6\) with targets \(103,\)"),
    ],
)
def test_refused(metric, loss, target, text):
    with pytest.raises(GraphDLError, match=text):
        evaluate(passing(loss), X, target, metrics=[metric])


def test_settings_are_checked_and_names_differ():
    with pytest.raises(GraphDLError, match="Precision: average must be 'binary' or 'macro' or 'micro' or 'weighted'"):
        Precision(average="samples")
    with pytest.raises(GraphDLError, match="Two metrics are called 'mae'"):
        evaluate(passing(MSELoss(), 2), X[:, :2], NUMBERS, metrics=["mae", MAE()])
    names = [metric.name for metric in (MAE(), RMSE(), R2(), AUC(), F1(average="micro"), TopKAccuracy(3))]
    assert names == ["mae", "rmse", "r2", "auc", "f1_micro", "top_3_accuracy"]


def test_without_scikit_learn(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(GraphDLError, match=r"The metric 'f1' needs scikit-learn.*pip install 'graphdl\[sklearn\]'"):
        evaluate(passing(CrossEntropyLoss()), X, LABELS, metrics=["f1"])
    assert evaluate(passing(CrossEntropyLoss()), X, LABELS, metrics=["top_2_accuracy"])["top_2_accuracy"] > 0
    assert np.isfinite(evaluate(passing(MSELoss(), 2), X[:, :2], NUMBERS, metrics=["mae"])["mae"])


SEVERAL = (X + torch.randn(ROWS, 6, generator=G) > 0).float()


@pytest.mark.parametrize("loss", [BCEWithLogitsLoss(), Weighted(BCEWithLogitsLoss()), SoftMarginLoss()], ids=str)
def test_rows_of_a_binary_loss_with_several_labels_are_measured_by_label(loss):
    target = 2 * SEVERAL - 1 if isinstance(loss, SoftMarginLoss) else SEVERAL
    data = {"x": X, "y": target} | ({"loss": torch.ones(ROWS)} if isinstance(loss, Weighted) else {})
    names = ["precision", "recall", "f1", "auc", F1(average="micro")]
    found = evaluate(passing(loss), data, metrics=names, batch_size=10)
    wanted, predicted = SEVERAL.numpy(), (X > 0).numpy()
    assert found["precision"] == pytest.approx(reference.precision_score(wanted, predicted, average="macro"))
    assert found["recall"] == pytest.approx(reference.recall_score(wanted, predicted, average="macro"))
    assert found["f1"] == pytest.approx(reference.f1_score(wanted, predicted, average="macro"))
    assert found["f1_micro"] == pytest.approx(reference.f1_score(wanted, predicted, average="micro"))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(wanted, X.numpy()))
    with pytest.raises(SettingError, match="top_2_accuracy compares the class of a row"):
        evaluate(passing(loss), data, metrics=["top_2_accuracy"])


def test_one_hot_rows_of_a_binary_loss_have_one_class():
    hot = torch.nn.functional.one_hot(LABELS, 6).float()
    expected = expected_of_classes(X, LABELS)["f1"]
    for target in (hot, 0.8 * hot + 0.1):  # smoothed rows do not sum to 1
        assert evaluate(passing(BCEWithLogitsLoss()), X, target, metrics=["f1"])["f1"] == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_predictions_that_are_not_finite_are_nan(name, wrong):
    metric = METRICS[name]
    x = X.clone()
    x[3, 2] = wrong
    if metric.classes:
        assert math.isnan(metric.measure(CrossEntropyLoss(), x, LABELS))
        assert math.isfinite(metric.measure(CrossEntropyLoss(), X, LABELS))
    else:
        assert math.isnan(metric.measure(MSELoss(), x, X))
        assert math.isnan(metric.measure(MSELoss(), X, x))


@pytest.mark.parametrize("name", ["accuracy", "f1", "precision", "recall", "auc"])
def test_metrics_of_classes_are_warned_of_in_a_regression(name):
    target = X[:, :1] + 0.5
    how = {"optimizer": SGD(lr=0.0), "epochs": 1, "batch_size": 50, "progress": False}
    with pytest.warns(GraphDLWarning, match=f"{name} compares classes"):
        fit(passing(MSELoss(), 1), X[:, :1], target, metrics=[name], **how)


@pytest.mark.parametrize("name", ["accuracy", "f1"])
@pytest.mark.parametrize("several", [True, False])
def test_accuracy_of_rows_with_several_labels_is_warned_of(name, several):
    target = torch.eye(3)[LABELS % 3]
    target[4] = torch.tensor([1.0, 1.0, 0.0]) if several else target[4]
    how = {"optimizer": SGD(lr=0.0), "epochs": 1, "batch_size": 50, "progress": False}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit(passing(BCEWithLogitsLoss(), 3), X[:, :3], target, metrics=[name], **how)
    said = [str(each.message) for each in found if "has rows with several labels" in str(each.message)]
    assert len(said) == (several and name == "accuracy")
