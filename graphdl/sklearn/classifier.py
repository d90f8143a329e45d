"""Networks as classifiers of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy
from scipy.special import expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from graphdl.errors import ShapeError
from graphdl.operators import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, Loss, NLLLoss
from graphdl.sklearn.estimator import FLOATS, Array, GraphEstimator
from graphdl.sklearn.networks import Ends, ends_of

BY_INDEX = (CrossEntropyLoss, NLLLoss)


def _by_classes(values: Array) -> Array:
    """Probabilities of each class by itself, (n, c), of one class: the second of two, (n, 1)."""
    if values.shape[1] == 1:
        return numpy.hstack([1 - values, values])
    return numpy.asarray(values / numpy.maximum(values.sum(1, keepdims=True), numpy.finfo(values.dtype).tiny))


def _as_signs(targets: Array, loss: Loss) -> Array:
    """Targets 0 and 1 as the loss takes them: as -1 and 1 where class 1 is above 0."""
    return numpy.asarray(2 * targets - 1 if loss.target_threshold == 0 else targets)


PROBABILITIES: dict[type[Loss], Callable[[Array], Array]] = {
    CrossEntropyLoss: lambda values: softmax(values, axis=1),
    NLLLoss: numpy.exp,
    BCEWithLogitsLoss: lambda values: _by_classes(expit(values)),
    BCELoss: _by_classes,
}


def _has_probabilities(estimator: Any) -> bool:
    """Whether the predictions of the network's loss are probabilities, or determine them."""
    if hasattr(estimator, "network_"):
        return type(ends_of(estimator.network_).loss) in PROBABILITIES
    return estimator.loss is None or type(estimator.loss) in PROBABILITIES


@dataclass(eq=False, repr=False)
class GraphClassifier(ClassifierMixin, GraphEstimator):  # type: ignore[misc]
    """A network as a classifier of scikit-learn, for two or more classes with labels of any kind.

    class_weight  {label: weight}, or "balanced" for weights inversely proportional to the number of rows of a class, or
                  None: they are factors of the weights of rows

    The network has an output for each class; of two classes, it may have one for the second, unless the loss is
    CrossEntropyLoss or NLLLoss. predict_proba needs CrossEntropyLoss, which is the default, NLLLoss, BCEWithLogitsLoss
    or BCELoss. The class with the largest output is predicted; of a single output, the second class above the loss's
    threshold: 0 for BCEWithLogitsLoss and SoftMarginLoss, 0.5 for others. Targets are 0 and 1, and -1 and 1 for
    SoftMarginLoss. classes_ holds the labels.

    >>> GraphClassifier(hidden=(8,), random_state=0).fit([[0], [1], [2], [3]], ["a", "a", "b", "b"]).predict([[0], [3]])
    array(['a', 'b'], dtype='<U1')
    """

    class_weight: Any = None

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows, going on where the last call stopped; return the estimator.

        classes  all labels, also those that come later; needed in the first call
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not see all rows: give a "
                "dictionary {label: weight}."
            )
        first = not hasattr(self, "network_")
        if first and classes is None:
            raise ValueError("classes must be given in the first call of partial_fit: the labels of all rows to come.")
        if classes is not None and not first and not numpy.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes={classes!r} are not those of the first call of partial_fit: {self.classes_}.")
        return self._continue(X, y, sample_weight, classes)

    def decision_function(self, X: Any) -> Array:
        """The scores of the classes, (n, classes); for two classes (n), above 0 for the second one."""
        return self._decisions(self._values(X))

    def predict(self, X: Any) -> Array:
        """The labels of rows, (n)."""
        decisions = self.decision_function(X)
        index = (decisions > 0).astype(int) if decisions.ndim == 1 else decisions.argmax(1)
        return numpy.asarray(self.classes_[index])

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes, (n, classes), in the order of classes_."""
        values = self._values(X)
        loss = type(ends_of(self.network_).loss)
        return PROBABILITIES[loss](values.reshape(len(values), -1))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of the probabilities."""
        check_is_fitted(self)
        if isinstance(ends_of(self.network_).loss, CrossEntropyLoss):
            return numpy.asarray(log_softmax(self._values(X), axis=1))
        with numpy.errstate(divide="ignore"):
            return numpy.asarray(numpy.log(self.predict_proba(X)))

    def _decisions(self, values: Array) -> Array:
        """Decisions by the network's predictions."""
        values = values.reshape(len(values), -1)
        if values.shape[1] == 1 and len(self.classes_) == 2:
            return numpy.asarray(values[:, 0] - ends_of(self.network_).loss.threshold)
        return values[:, 1] - values[:, 0] if len(self.classes_) == 2 else values

    def _checked(self, X: Any, y: Any, reset: bool = True) -> tuple[Array, Array]:
        X, y = validate_data(self, X, y, reset=reset, dtype=FLOATS, order="C")
        check_classification_targets(y)
        return X, y

    def _learn_targets(self, y: Any) -> None:
        self.classes_ = unique_labels(y)

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    @property
    def _default_loss(self) -> Loss:
        return CrossEntropyLoss()

    def _encoded(self, y: Array, ends: Ends, shape: tuple[int, ...]) -> Array:
        classes = len(self.classes_)
        index = numpy.searchsorted(self.classes_, y).clip(max=classes - 1)
        if (unknown := self.classes_[index] != y).any():
            raise ValueError(
                f"y has the label {y[unknown].tolist()[0]!r}, which is not one of the classes {self.classes_}."
            )
        if shape == (classes,) and isinstance(ends.loss, BY_INDEX):
            return numpy.asarray(index)
        if shape == (classes,):
            return _as_signs(numpy.eye(classes)[index], ends.loss)
        if shape in ((1,), ()) and classes == 2 and not isinstance(ends.loss, BY_INDEX):
            return _as_signs(index.reshape(-1, *shape).astype(numpy.float64), ends.loss)
        raise ShapeError(
            f"There are {classes} classes, and the prediction {ends.prediction!r} of a row has the shape {shape} for "
            f"{type(ends.loss).__name__}: the network needs {classes} outputs."
        )

    def _row_weights(self, y: Array, rows: Array, weights: Array | None) -> Array | None:
        if self.class_weight is None:
            return weights
        found = numpy.ones(len(y)) if weights is None else weights.copy()
        index = numpy.searchsorted(self.classes_, y[rows])
        if self.class_weight == "balanced":
            totals = numpy.bincount(index, found[rows], minlength=len(self.classes_))
            factors = totals.sum() / (numpy.count_nonzero(totals) * numpy.where(totals, totals, 1))
        else:
            factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y[rows])
            if not (numpy.isfinite(factors).all() and (factors >= 0).all()):
                raise ValueError(f"class_weight is {self.class_weight}: weights are finite numbers of at least 0.")
        found[rows] *= factors[index]
        return found

    def _strata(self, y: Array) -> Array | None:
        return y
