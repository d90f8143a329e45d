"""Metrics over all rows of an epoch or a data set. Their names are known to fit and evaluate: metrics=["f1", "auc"].

    fit(net, x, y, ..., metrics=["accuracy", "top_5_accuracy", Precision(average="micro")])

The predictions and targets of all batches are kept, and measured together: the metric of the whole, not a mean over
batches. Rows whose target is the loss's ignore_index do not count. Where a row of a binary loss has several labels or
none, precision, recall, f1 and auc measure each label by itself, as accuracy does. A metric is nan if a prediction is
nan, and one of numbers if a prediction is infinite; an infinite score of a class, as the logarithm of 0, is one.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from graphdl.data.checks import scikit_learn
from graphdl.data.labels import by_rows, classes_of, has_several_labels
from graphdl.errors import SettingError, ShapeError
from graphdl.operators import CrossEntropyLoss, Loss, NLLLoss
from graphdl.settings import Settings, choice, optional, setting, size

__all__ = ["AUC", "F1", "MAE", "R2", "RMSE", "Precision", "Recall", "TopKAccuracy"]

Average = Literal["binary", "macro", "micro", "weighted"]
AverageOfCurves = Literal["macro", "weighted"]


@dataclass(frozen=True)
class RowMetric(Settings, ABC):
    """A metric of all predictions and targets of a loss.

    classes   whether targets name classes; it is refused for losses whose targets do not
    maximise  whether higher is better
    """

    classes: ClassVar[bool] = True
    maximise: ClassVar[bool] = True

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which the history lists it."""

    def measure(self, loss: Loss, prediction: Tensor, target: Tensor) -> float:
        """The metric of predictions (n, ...) for a loss and its targets; nan unless all of them are numbers.

        Raises ShapeError if they do not fit.
        """
        if bool(prediction.isnan().any()) or not bool(target.isfinite().all()):
            return math.nan
        return self.of_numbers(loss, prediction, target)

    @abstractmethod
    def of_numbers(self, loss: Loss, prediction: Tensor, target: Tensor) -> float:
        """The metric of predictions that are not nan, and of finite targets."""

    def misfit(self, prediction: Tensor, target: Tensor) -> ShapeError:
        """The error for shapes that do not fit."""
        return ShapeError(
            f"{self.name} cannot compare predictions {tuple(prediction.shape)} with targets {tuple(target.shape)}."
        )

    def classes_compared(self, loss: Loss, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The classes wanted and predicted, (m,), or (m, c) where each element is a separate label."""
        each = loss.judged == "element" or has_several_labels(loss, prediction, target)
        predicted, wanted = classes_of(prediction, target, each, loss.threshold, loss.target_threshold)
        if predicted.shape != wanted.shape:
            raise self.misfit(prediction, target)
        if each:
            return by_rows(wanted).long(), by_rows(predicted).long()
        wanted, predicted = wanted.reshape(-1).long(), predicted.reshape(-1).long()
        counted = slice(None) if loss.ignored is None else wanted != loss.ignored
        return wanted[counted], predicted[counted]


@dataclass(frozen=True)
class ClassMetric(RowMetric):
    """A metric of scikit-learn that compares classes.

    average  "binary" measures class 1 of two, "macro" is the mean over the classes, "weighted" that by their rows, and
             "micro" counts all classes together. None takes "binary" for two classes, and "macro" for more
    """

    average: str | None = setting(optional(choice(Average)), default=None)

    function: ClassVar[str]
    word: ClassVar[str]

    @property
    def name(self) -> str:
        return self.word if self.average is None else f"{self.word}_{self.average}"

    def of_numbers(self, loss: Loss, prediction: Tensor, target: Tensor) -> float:
        wanted, predicted = self.classes_compared(loss, prediction, target)
        if not len(wanted):
            return math.nan
        several = wanted.dim() > 1 or (prediction.dim() > 1 and prediction.shape[1] > 2)
        function = getattr(scikit_learn("sklearn.metrics", f"The metric {self.word!r}"), self.function)
        average = self.average or ("macro" if several else "binary")
        return float(function(wanted.numpy(), predicted.numpy(), average=average, zero_division=0.0))


class Precision(ClassMetric):
    """The share of rows predicted as a class that belong to it: true / (true + false positives); 0 if there are none.

    It is sklearn.metrics.precision_score.
    """

    function, word = "precision_score", "precision"


class Recall(ClassMetric):
    """The share of the rows of a class that are predicted as it: true positives / (true positives + false negatives).

    It is sklearn.metrics.recall_score.
    """

    function, word = "recall_score", "recall"


class F1(ClassMetric):
    """The harmonic mean of precision and recall. It is sklearn.metrics.f1_score."""

    function, word = "f1_score", "f1"


@dataclass(frozen=True)
class AUC(RowMetric):
    """The area under the ROC curve: the probability that a row of a class has a higher score than another row.

    average  for more than two classes, of each against all others: the "macro" mean, or "weighted" by their rows

    Scores are predictions; of CrossEntropyLoss and NLLLoss, the softmax of them. It is sklearn.metrics.roc_auc_score,
    and nan where all rows are of one class. Classes without rows do not count.
    """

    average: str = setting(choice(AverageOfCurves), default="macro")

    @property
    def name(self) -> str:
        return "auc" if self.average == "macro" else f"auc_{self.average}"

    def of_numbers(self, loss: Loss, prediction: Tensor, target: Tensor) -> float:
        wanted, _ = self.classes_compared(loss, prediction, target)
        area = scikit_learn("sklearn.metrics", "The metric 'auc'").roc_auc_score
        scores = by_rows(prediction.double()) if wanted.dim() > 1 else _scores(loss, prediction, target)
        if bool(scores.isnan().any()):  # such as the softmax of two infinite numbers
            return math.nan
        scores = scores.nan_to_num()  # scikit-learn takes finite ones
        if wanted.dim() > 1:  # separate labels
            hits = wanted
        elif scores.shape[1] == 1:
            hits = wanted[:, None]
        else:
            hits = (wanted[:, None] == torch.arange(scores.shape[1])).long()
        known = [k for k in range(scores.shape[1]) if 0 < int(hits[:, k].sum()) < len(hits)]
        if not known:
            return math.nan
        each = [float(area(hits[:, k].numpy(), scores[:, k].numpy())) for k in known]
        areas = torch.tensor(each, dtype=torch.float64)
        weights = hits[:, known].sum(0) if self.average == "weighted" else torch.ones(len(known))
        return float((areas * weights).sum() / weights.sum())


def _scores(loss: Loss, prediction: Tensor, target: Tensor) -> Tensor:
    """The scores (m, c) of the rows that count; (m, 1) of class 1 where there are two classes."""
    x = prediction.double()
    x = x.unsqueeze(1) if x.dim() == 1 else x
    if isinstance(getattr(loss, "loss", loss), (CrossEntropyLoss, NLLLoss)):
        x = x.softmax(1)
    x = by_rows(x)
    if loss.ignored is not None and target.shape != prediction.shape:
        x = x[target.reshape(-1) != loss.ignored]
    return x[:, 1:] - x[:, :1] if x.shape[1] == 2 else x


@dataclass(frozen=True)
class TopKAccuracy(RowMetric):
    """The share of rows whose class has one of the k largest predictions. k is smaller than the number of classes."""

    k: int = setting(size(), default=5)

    @property
    def name(self) -> str:
        return f"top_{self.k}_accuracy"

    def of_numbers(self, loss: Loss, prediction: Tensor, target: Tensor) -> float:
        if prediction.dim() < 2 or prediction.shape[1] <= self.k:
            raise ShapeError(
                f"{self.name} needs predictions of more than {self.k} classes, (n, c), not {tuple(prediction.shape)}."
            )
        if has_several_labels(loss, prediction, target):
            raise SettingError(f"{self.name} compares the class of a row, and rows of the target have several labels "
                               "or none: remove it, or take another metric, such as f1 or auc, which measure each "
                               "label.")  # fmt: skip
        wanted = target.argmax(1) if target.shape == prediction.shape else target
        if wanted.shape != prediction.shape[:1] + prediction.shape[2:]:
            raise self.misfit(prediction, target)
        hits = (prediction.topk(self.k, 1).indices == wanted.unsqueeze(1)).any(1)
        counted = hits if loss.ignored is None else hits[wanted != loss.ignored]
        return float(counted.double().mean())


@dataclass(frozen=True)
class NumberMetric(RowMetric):
    """A metric of predicted numbers and targets of the same shape."""

    classes: ClassVar[bool] = False
    maximise: ClassVar[bool] = False
    word: ClassVar[str]

    @property
    def name(self) -> str:
        return self.word

    def of_numbers(self, loss: Loss, prediction: Tensor, target: Tensor) -> float:
        if prediction.shape != target.shape:
            raise self.misfit(prediction, target)
        return self.compare(prediction.double(), target.double()) if bool(prediction.isfinite().all()) else math.nan

    @abstractmethod
    def compare(self, prediction: Tensor, target: Tensor) -> float:
        """The metric of numbers in double precision."""


class MAE(NumberMetric):
    """The mean absolute error over all elements: mean |x - target|."""

    word = "mae"

    def compare(self, prediction: Tensor, target: Tensor) -> float:
        return float((prediction - target).abs().mean())


class RMSE(NumberMetric):
    """The root of the mean squared error over all elements: sqrt(mean (x - target)²)."""

    word = "rmse"

    def compare(self, prediction: Tensor, target: Tensor) -> float:
        return float((prediction - target).square().mean().sqrt())


class R2(NumberMetric):
    """The coefficient of determination: 1 - sum (x - target)² / sum (target - mean)², averaged over several outputs.

    It is sklearn.metrics.r2_score, and nan for a single row.
    """

    maximise = True
    word = "r2"

    def compare(self, prediction: Tensor, target: Tensor) -> float:
        if len(target) < 2:
            return math.nan
        columns = (each.reshape(len(each), -1).numpy() for each in (target, prediction))
        function: Any = scikit_learn("sklearn.metrics", "The metric 'r2'").r2_score
        return float(function(*columns))


METRICS = {metric.name: metric for metric in (TopKAccuracy(), Precision(), Recall(), F1(), AUC(), MAE(), RMSE(), R2())}
"""The metrics that fit and evaluate know by name, beside "accuracy" and "top_k_accuracy" for every k."""


def named_metric(name: str) -> RowMetric | None:
    """The metric of a name; None if there is none."""
    found = re.fullmatch(r"top_([1-9]\d{0,8})_accuracy", name)
    return TopKAccuracy(int(found[1])) if found else METRICS.get(name)


def is_maximised(name: str) -> bool:
    """Whether higher is better for a name in the history, such as "validation_f1" or "accuracy_of_left"."""
    word = name.removeprefix("validation_").partition("_of_")[0]
    for average in ("binary", "macro", "micro", "weighted"):
        word = word.removesuffix(f"_{average}")
    metric = named_metric(word)
    return word == "accuracy" if metric is None else metric.maximise
