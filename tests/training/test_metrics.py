import math

import pytest
import torch

from graphdl import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Linear,
    MSELoss,
    MultiLabelSoftMarginLoss,
    Network,
    SoftMarginLoss,
    Weighted,
    evaluate,
    fit,
)
from graphdl.errors import ShapeError
from graphdl.optim import SGD
from graphdl.training import accuracy
from graphdl.training.metrics import Accuracy
from tests.twins import needs_compiler

PREDICTION = torch.tensor([[0.9, 0.1], [0.2, 0.7], [0.6, 0.3], [0.4, 0.5]])


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        (PREDICTION, torch.tensor([0, 1, 1, 1]), 0.75),
        (PREDICTION, torch.tensor([0, 1, 1, 1], dtype=torch.int32), 0.75),
        (PREDICTION, torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]]), 0.75),
        (PREDICTION, torch.tensor([[0.8, 0.2], [0.2, 0.8], [0.2, 0.8], [0.8, 0.2]]), 0.5),
        (PREDICTION[:, :1], torch.tensor([[1.0], [0.0], [0.0], [0.0]]), 0.75),
        (PREDICTION[:, 0], torch.tensor([1.0, 0.0, 0.0, 1.0]), 0.5),
        (PREDICTION[:, :1], torch.tensor([1, 0, 1, 0]), 1.0),
        (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 4, 4).long(), None),
    ],
    ids=["indices", "int32", "one-hot", "soft", "column", "vector", "column, indices", "images"],
)
def test_accuracy(prediction, target, expected):
    if expected is None:
        expected = float((prediction.argmax(1) == target).float().mean())
    assert float(accuracy(prediction, target)) == pytest.approx(expected)


def test_ignored_targets_do_not_count():
    assert float(accuracy(PREDICTION, torch.tensor([0, -100, 1, 1]), ignored=-100)) == pytest.approx(2 / 3)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"predictions \(4, 2\) with targets \(4, 3\)"):
        accuracy(PREDICTION, torch.zeros(4, 3))


def figures(loss, prediction, target, metrics=("accuracy",)):
    net = Network(
        {"fc": Linear(prediction.shape[1], prediction.shape[1]), "loss": loss},
        {"x": ["fc"], "fc": ["loss"], "y": ["loss"]},
    )
    net.parameters["fc.weight"] = torch.eye(prediction.shape[1])
    net.parameters["fc.bias"] = torch.zeros(prediction.shape[1])
    return evaluate(net, prediction, target, metrics=metrics)


def test_the_loss_sets_the_threshold_of_a_single_prediction():
    logits, target = torch.tensor([[0.2], [-0.2], [0.7]]), torch.tensor([[1.0], [0.0], [1.0]])
    assert figures(BCEWithLogitsLoss(), logits, target)["accuracy"] == 1.0
    assert figures(MSELoss(), logits, target)["accuracy"] == pytest.approx(2 / 3)


def test_the_loss_says_which_targets_are_ignored():
    target = torch.tensor([0, -100, 1, 1])
    assert figures(CrossEntropyLoss(), PREDICTION, target)["accuracy"] == pytest.approx(2 / 3)


def test_a_function_is_a_metric_under_its_name():
    def largest_error(prediction, target):
        return (prediction - target).abs().max()

    found = figures(MSELoss(), PREDICTION, torch.zeros(4, 2), metrics=("accuracy", largest_error))
    assert found["largest_error"] == pytest.approx(0.9)


@pytest.mark.parametrize("settings", [{}, {"ignored": -100}, {"each": None}], ids=str)
def test_batches_together_are_measured_as_each_alone(settings):
    generator = torch.Generator().manual_seed(0)
    predictions, targets = torch.randn(5, 7, 3, generator=generator), torch.randint(3, (5, 7), generator=generator)
    if "ignored" in settings:
        targets[:, 2:4] = -100
    if "each" in settings:
        targets = torch.nn.functional.one_hot(targets, 3)
        targets[2, 4] = 1
    measure = Accuracy(**settings)
    found = torch.stack(measure.shares(predictions, targets, torch.Tensor.double), 1).tolist()
    for prediction, target, shares in zip(predictions, targets, found, strict=True):
        assert measure.of_shares(*shares) == measure(prediction, target)


SEVERAL = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]])
LOGITS = torch.tensor([[2.0, -1.0, -2.0], [3.0, 1.0, -1.0], [-1.0, -1.0, 2.0], [0.5, 1.0, 2.0]])


@pytest.mark.parametrize(
    "loss", [BCEWithLogitsLoss(), Weighted(BCEWithLogitsLoss()), MultiLabelSoftMarginLoss()], ids=str
)
@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_several_labels_of_a_row_are_measured_each_by_itself(loss, batch_size):
    """Also in batches all of whose rows have one label, as the other metrics do: torchmetrics' multilabel_accuracy."""
    net = Network({"loss": loss}, {"x": ["loss"], "y": ["loss"]})
    data = {"x": LOGITS, "y": SEVERAL.float()} | ({"loss": torch.ones(4)} if isinstance(loss, Weighted) else {})
    assert evaluate(net, data, metrics=["accuracy"], batch_size=batch_size)["accuracy"] == pytest.approx(8 / 12)
    assert float(accuracy(LOGITS, SEVERAL, threshold=0.0, multilabel=True)) == pytest.approx(8 / 12)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    ("loss", "row", "defined"),
    [
        (CrossEntropyLoss(), 2, False),
        (CrossEntropyLoss(ignore_index=0), 3, False),
        (CrossEntropyLoss(ignore_index=0), 2, True),  # its label is 0, so that it does not count
        (BCEWithLogitsLoss(), 2, False),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::graphdl.errors.GraphDLWarning")
def test_accuracy_is_nan_if_a_prediction_that_counts_is(loss, row, defined, batch_size):
    prediction, target = LOGITS.clone(), SEVERAL.float() if isinstance(loss, BCEWithLogitsLoss) else SEVERAL[:, 0]
    prediction[row, 1] = math.nan
    net = Network({"loss": loss}, {"x": ["loss"], "y": ["loss"]})
    found = evaluate(net, {"x": prediction, "y": target}, metrics=["accuracy"], batch_size=batch_size)["accuracy"]
    assert math.isfinite(found) == defined


def test_accuracy_is_nan_if_a_target_is():
    target = SEVERAL.float()
    target[1, 1] = math.nan
    assert math.isnan(accuracy(LOGITS, target))


def test_soft_targets_name_the_class_of_the_largest():
    target = torch.tensor([[0.2, 0.4], [0.4, 0.2]])
    assert accuracy(target, target) == 1


def test_several_labels_of_signs():
    """Rows of two labels and one of the other sign sum to 1, and are no probabilities."""
    net = Network({"loss": SoftMarginLoss()}, {"x": ["loss"], "y": ["loss"]})
    target = torch.tensor([[1.0, 1, -1], [1, -1, 1], [1, 1, -1], [-1, 1, 1]])
    found = evaluate(net, {"x": LOGITS, "y": target}, metrics=["accuracy"])["accuracy"]
    assert found == pytest.approx(float(((LOGITS > 0) == (target > 0)).float().mean()))


def test_one_hot_rows_have_a_class():
    hot = torch.nn.functional.one_hot(torch.tensor([0, 0, 2, 1]), 3).float()
    net = Network({"loss": BCEWithLogitsLoss()}, {"x": ["loss"], "y": ["loss"]})
    for target in (hot, 0.9 * hot + 0.1 / 3):
        assert evaluate(net, {"x": LOGITS, "y": target}, metrics=["accuracy"])["accuracy"] == 0.75


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_compiler)])
def test_several_labels_in_training(compiled):
    """One batch at a time, by compiled passes and in validation."""
    hot = torch.nn.functional.one_hot(torch.arange(40) % 3, 3).float()
    hot[7] = 1
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    net = Network(
        {"fc": Linear(3, 3), "loss": BCEWithLogitsLoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0
    )
    how = {"epochs": 3, "batch_size": 10, "shuffle": False, "progress": False, "compile": compiled}
    history = fit(net, x, hot, optimizer=SGD(lr=0.0), metrics=["accuracy"], validation=(x[10:], hot[10:]), **how)
    right = (net.predict(x) > 0) == (hot > 0)
    assert history["accuracy"] == pytest.approx([float(right.float().mean())] * 3)
    by_class = (net.predict(x).argmax(1) == hot.argmax(1))[10:]
    assert history["validation_accuracy"] == pytest.approx([float(by_class.float().mean())] * 3)


@pytest.mark.parametrize(("prediction", "target"), [((), ()), ((2,), ()), ((), (2,))])
def test_accuracy_of_single_numbers(prediction, target):
    with pytest.raises(ShapeError, match="accuracy cannot compare"):
        accuracy(torch.full(prediction, 0.7), torch.ones(target))
