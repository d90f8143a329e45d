"""Metrics of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import Tensor

from graphdl.errors import SettingError, ShapeError, did_you_mean
from graphdl.operators import Loss

Metric: TypeAlias = Callable[[Tensor, Tensor], "float | Tensor"]


def accuracy(prediction: Tensor, target: Tensor, *, threshold: float = 0.5, ignored: int | None = None) -> Tensor:
    """The fraction of predictions that are correct.

    prediction (n, c, ...) with c > 1: the class of the largest value; target class indices (n, ...), or one-hot or
    soft (n, c, ...) targets, of which the largest value is the class.
    prediction (n, 1) or (n): class 1 above `threshold`; target class 1 above 0.5.
    Targets equal to `ignored` do not count.

    Raises ShapeError if the shapes do not fit.
    """
    return Accuracy(threshold, ignored)(prediction, target)


@dataclass(frozen=True)
class Accuracy:
    """The metric "accuracy" for a loss, which says what class 1 is and which targets do not count.

    each  whether every element is a separate label, also where a row has several
    """

    threshold: float = 0.5
    ignored: int | None = None
    target_threshold: float = 0.5
    each: bool = False

    @classmethod
    def of(cls, loss: Loss) -> Accuracy | None:
        """The accuracy for a loss; None where its targets name no class."""
        if loss.judged == "nothing":
            return None
        return cls(loss.threshold, loss.ignored, loss.target_threshold, loss.judged == "element")

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The accuracy of one batch."""
        if not prediction.dim() or not target.dim():
            raise self._misfit(prediction, target)
        return self.of_batches(prediction[None], target[None])[0]

    def of_batches(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The accuracy of each of several batches, (K,), given (K, n, ...)."""
        hits, wanted = self._hits(predictions.flatten(0, 1), targets.flatten(0, 1))
        hits = hits.reshape(len(predictions), -1)
        if self.ignored is None or wanted.is_floating_point():
            return hits.double().mean(1)
        counted = (wanted != self.ignored).reshape(hits.shape)
        return (hits & counted).sum(1).double() / counted.sum(1)

    def _hits(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each prediction is correct, and the classes wanted."""
        if prediction.dim() > 1 and prediction.shape[1] > 1 and not self.each:
            predicted = prediction.argmax(1)
            wanted = target.argmax(1) if target.shape == prediction.shape else target
        else:
            predicted, wanted = prediction > self.threshold, target > self.target_threshold
            if predicted.dim() == wanted.dim() + 1:
                predicted = predicted.squeeze(1)
        if predicted.shape != wanted.shape:
            raise self._misfit(prediction, target)
        return predicted == wanted, wanted

    @staticmethod
    def _misfit(prediction: Tensor, target: Tensor) -> ShapeError:
        return ShapeError(
            f"accuracy cannot compare predictions {tuple(prediction.shape)} with targets {tuple(target.shape)}: give "
            "class indices (n), or one-hot or soft targets of the predictions' shape."
        )


METRICS: dict[str, Callable[[Loss], Metric | None]] = {"accuracy": Accuracy.of}


def resolve_metrics(metrics: Sequence[str | Metric]) -> dict[str, Callable[[Loss], Metric | None]]:
    """Name -> function that returns the metric for a given loss, or None where it has none.

    A metric is a name or a function.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise SettingError(f"metrics must be a sequence such as ['accuracy'], not {metrics!r}.")
    resolved: dict[str, Callable[[Loss], Metric | None]] = {}
    for metric in metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                raise SettingError(
                    f"There is no metric {metric!r}.{did_you_mean(metric, METRICS)} Give one of "
                    f"{', '.join(METRICS)}, or a function (prediction, target) -> number."
                )
            resolved[metric] = METRICS[metric]
        elif callable(metric):
            name = getattr(metric, "__name__", type(metric).__name__)
            if name in resolved:
                raise SettingError(f"Two metrics are called {name!r}: rename one of them.")
            resolved[name] = partial(_as_it_is, metric)
        else:
            raise SettingError(f"A metric must be a name or a function (prediction, target) -> number, not {metric!r}.")
    return resolved


def _as_it_is(metric: Metric, loss: Loss) -> Metric:
    """The user's metric on copies, because the next step overwrites the memory of predictions and targets."""
    return lambda prediction, target: metric(prediction.clone(), target.clone())
