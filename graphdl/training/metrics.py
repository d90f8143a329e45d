"""Metrics of predictions."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.data.labels import are_rows_of_elements, classes_of, may_have_several_labels, without_class
from graphdl.errors import SettingError, ShapeError, did_you_mean
from graphdl.metrics import METRICS, RowMetric, named_metric
from graphdl.operators import Loss

Metric: TypeAlias = Callable[[Tensor, Tensor], "float | Tensor"]

OTHER_NAMES = {
    "acc": "accuracy",
    "top5": "top_5_accuracy",
    "f1_score": "f1",
    "roc_auc": "auc",
    "mean_absolute_error": "mae",
    "mse": "rmse",
    "mean_squared_error": "rmse",
    "r2_score": "r2",
}
"""What other libraries call a metric, or a similar one -> its name."""


def accuracy(
    prediction: Tensor,
    target: Tensor,
    *,
    threshold: float = 0.5,
    ignored: int | None = None,
    multilabel: bool = False,
) -> Tensor:
    """The fraction of predictions that are correct; nan if a prediction or a target is nan.

    prediction (n, c, ...) with c > 1: the class of the largest value; target class indices (n, ...), or one-hot or
    soft (n, c, ...) targets, of which the largest value is the class.
    prediction (n, 1) or (n), or any if `multilabel`, which makes each element a separate label: class 1 above
    `threshold`; target class 1 above 0.5.
    Targets equal to `ignored` do not count.

    Raises ShapeError if the shapes do not fit.
    """
    return Accuracy(threshold, ignored, each=multilabel)(prediction, target)


@dataclass(frozen=True)
class Accuracy:
    """The metric "accuracy" for a loss, which says what class 1 is and which targets do not count.

    each  whether every element is a separate label, also where a row has several; None if this is so unless all rows of
          the targets are one-hot, or probabilities that sum to 1

    Over several batches it follows from the means of `parts` shares of each batch.
    """

    threshold: float = 0.5
    ignored: int | None = None
    target_threshold: float = 0.5
    each: bool | None = False

    @classmethod
    def of(cls, loss: Loss) -> Accuracy | None:
        """The accuracy for a loss; None where its targets name no class."""
        if loss.judged == "nothing":
            return None
        each = None if may_have_several_labels(loss) else loss.judged == "element"
        return cls(loss.threshold, loss.ignored, loss.target_threshold, each)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The accuracy of one batch."""
        shares = self.shares(*self.one_batch(prediction, target), Tensor.double)
        return torch.tensor(self.of_shares(*(share.item() for share in shares)), dtype=torch.float64)

    def one_batch(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as the only one of several. Raises ShapeError for tensors without rows."""
        if not prediction.dim() or not target.dim():
            raise self._misfit(prediction, target)
        return prediction[None], target[None]

    @property
    def parts(self) -> int:
        """How many shares `shares` gives for a batch."""
        return 3 if self.each is None else 1 if self.ignored is None else 2

    def shares(self, predictions: Tensor, targets: Tensor, read: Callable[[Tensor], Any]) -> list[Any]:
        """From which the accuracy follows: shares of each of several batches (K, n, ...), their counts (K,) as read.

        The share of labels that are correct. If targets may be ignored, also that of the labels that count. If `each`
        is None, also that of the correct labels where each element is one, and that of the rows without a class.
        """
        prediction, target = predictions.flatten(0, 1), targets.flatten(0, 1)
        hits, wanted = self._hits(prediction, target, bool(self.each))
        counted = torch.tensor(True) if self.ignored is None or wanted.is_floating_point() else wanted != self.ignored
        nan = prediction.isnan() if prediction.shape == hits.shape else prediction.isnan().any(1) & counted
        undefined = nan.reshape(len(predictions), -1).any(1) | targets.isnan().flatten(1).any(1)

        def share(chosen: Tensor) -> Any:
            by_batch = chosen.reshape(len(predictions), -1)
            return read(by_batch.sum(1).double().masked_fill(undefined, math.nan)) / max(by_batch.shape[1], 1)

        if self.each is None:
            if not are_rows_of_elements(prediction, target):
                return [found := share(hits), found, 0 * found]
            by_label, _ = self._hits(prediction, target, True)
            return [share(hits), share(by_label), share(without_class(target, self.target_threshold))]
        if self.ignored is None:
            return [share(hits)]
        return [share(hits & counted), share(counted.expand_as(hits))]

    def of_shares(self, correct: float, *others: float) -> float:
        """The accuracy by the means of the shares."""
        if self.each is None:
            by_label, without = others
            return by_label if without else correct
        if self.ignored is None:
            return correct
        return correct / others[0] if others[0] else math.nan

    def _hits(self, prediction: Tensor, target: Tensor, each: bool) -> tuple[Tensor, Tensor]:
        """Whether each prediction is correct, and the classes wanted."""
        predicted, wanted = classes_of(prediction, target, each, self.threshold, self.target_threshold)
        if predicted.shape != wanted.shape:
            raise self._misfit(prediction, target)
        return predicted == wanted, wanted

    @staticmethod
    def _misfit(prediction: Tensor, target: Tensor) -> ShapeError:
        return ShapeError(
            f"accuracy cannot compare predictions {tuple(prediction.shape)} with targets {tuple(target.shape)}: give "
            "class indices (n), or one-hot or soft targets of the predictions' shape."
        )


Bound: TypeAlias = "Accuracy | OverRows | Metric"
"""A metric for a given loss."""


@dataclass(frozen=True)
class OverRows:
    """A metric of all rows for a loss."""

    metric: RowMetric
    loss: Loss

    @classmethod
    def of(cls, metric: RowMetric, loss: Loss) -> OverRows | None:
        """The metric for a loss; None where it needs classes, and the loss's targets name none."""
        return None if metric.classes and loss.judged == "nothing" else cls(metric, loss)

    def __call__(self, prediction: Tensor, target: Tensor) -> float:
        """The metric of all predictions and targets."""
        return self.metric.measure(self.loss, prediction.detach().cpu(), target.detach().cpu())


def resolve_metrics(metrics: Sequence[str | Metric | RowMetric]) -> dict[str, Callable[[Loss], Bound | None]]:
    """Name -> function that returns the metric for a given loss, or None where it has none.

    A metric is a name, an instance of a class of graphdl.metrics, or a function.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise SettingError(f"metrics must be a sequence such as ['accuracy'], not {metrics!r}.")
    resolved: dict[str, Callable[[Loss], Bound | None]] = {}
    for metric in metrics:
        name, function = _resolved(metric)
        if name in resolved:
            raise SettingError(f"Two metrics are called {name!r}: rename one of them.")
        resolved[name] = function
    return resolved


def _resolved(metric: Any) -> tuple[str, Callable[[Loss], Bound | None]]:
    """The name of a metric, and its function."""
    if metric == "accuracy":
        return metric, Accuracy.of
    if isinstance(metric, type) and issubclass(metric, RowMetric):
        raise SettingError(f"A metric is the class {metric.__name__}: write {metric.__name__}().")
    if isinstance(metric, str) and (named := named_metric(metric)) is not None:
        metric = named
    if isinstance(metric, RowMetric):
        return metric.name, partial(OverRows.of, metric)
    if isinstance(metric, str):
        known = ["accuracy", *METRICS]
        hint = did_you_mean(OTHER_NAMES.get(metric.lower(), metric), known)
        raise SettingError(
            f"There is no metric {metric!r}.{hint} Give one of {', '.join(known)}, an instance "
            "of a class of graphdl.metrics, or a function (prediction, target) -> number."
        )
    if callable(metric):
        _check_takes_two(metric)
        return getattr(metric, "__name__", type(metric).__name__), partial(_as_it_is, metric)
    raise SettingError(f"A metric must be a name or a function (prediction, target) -> number, not {metric!r}.")


def _check_takes_two(metric: Metric) -> None:
    """Raise SettingError for a function that cannot be called with a prediction and a target."""
    with contextlib.suppress(ValueError):  # some functions written in C have no signature
        signature = inspect.signature(metric)
        try:
            signature.bind(None, None)
        except TypeError:
            name = getattr(metric, "__name__", type(metric).__name__)
            raise SettingError(
                f"The metric {name!r} takes {signature}, but is called with (prediction, target)."
            ) from None


def _as_it_is(metric: Metric, loss: Loss) -> Metric:
    """The user's metric on copies, because the next step overwrites the memory of predictions and targets."""
    return lambda prediction, target: metric(prediction.clone(), target.clone())
