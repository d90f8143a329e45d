import pytest
import torch

from graphdl import BCEWithLogitsLoss, CrossEntropyLoss, Linear, MSELoss, Network, evaluate
from graphdl.errors import ShapeError
from graphdl.training import accuracy
from graphdl.training.metrics import Accuracy

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


@pytest.mark.parametrize("ignored", [None, -100])
def test_batches_together_are_measured_as_each_alone(ignored):
    generator = torch.Generator().manual_seed(0)
    predictions, targets = torch.randn(5, 7, 3, generator=generator), torch.randint(3, (5, 7), generator=generator)
    targets[:, 2:4] = targets[:, 2:4] if ignored is None else ignored
    found = Accuracy(ignored=ignored).of_batches(predictions, targets)
    expected = [accuracy(*pair, ignored=ignored) for pair in zip(predictions, targets, strict=True)]
    assert torch.equal(found, torch.stack(expected))


@pytest.mark.parametrize(("prediction", "target"), [((), ()), ((2,), ()), ((), (2,))])
def test_accuracy_of_single_numbers(prediction, target):
    with pytest.raises(ShapeError, match="accuracy cannot compare"):
        accuracy(torch.full(prediction, 0.7), torch.ones(target))
