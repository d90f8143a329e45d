"""What classifiers and regressors have in common: settings, the network, and training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators import Loss
from graphdl.optim import Adam, Optimizer
from graphdl.settings import flag
from graphdl.sklearn.networks import Ends, declared, ends_of, perceptron, with_loss
from graphdl.sklearn.picture import drawn
from graphdl.sklearn.task import Rows, Task, scaled
from graphdl.training import EarlyStopping, History

Array = NDArray[Any]
FLOATS = (numpy.float64, numpy.float32)
DTYPES = {numpy.dtype(numpy.float32): torch.float32, numpy.dtype(numpy.float64): torch.float64}
SEEDS = 2**31 - 1
OPTIONS = ("metrics", "penalties", "clip_norm", "shuffle", "compile", "threads")
"""Settings that are arguments of fit."""


@dataclass(eq=False, repr=False)
class GraphEstimator(BaseEstimator):  # type: ignore[misc]
    """The base class of GraphClassifier and GraphRegressor.

    network              a function (n_features, n_outputs) that returns a Network or a pair (operators, connectivity);
                         or such a pair; or a Network, of which a copy is trained; or None for a perceptron
    hidden, activation   of the perceptron: sizes, and a name such as "tanh" or an operator
    loss                 the loss that is added to a network without one; None takes the default
    optimizer            such as SGD(lr=0.1); None takes Adam(lr=learning_rate)
    batch_size           "auto" takes at most 200 rows, None all
    early_stopping       holds back validation_fraction of the rows, and ends training when the loss on them has not
                         improved for `patience` epochs; the best parameters are kept
    random_state         of the first parameters, the order of rows and random masks
    verbose              shows a progress bar on a terminal

    The other settings are those of graphdl.fit. After training: network_, history_, loss_curve_ (the loss of each
    epoch), n_iter_ (the number of epochs), n_features_in_, and feature_names_in_ for data with names. The numbers of
    the network are of the type of X, float32 or float64.
    """

    network: Any = None
    _: KW_ONLY
    hidden: Any = (100,)
    activation: Any = "relu"
    loss: Any = None
    optimizer: Any = None
    learning_rate: float = 0.01
    epochs: int = 200
    batch_size: Any = "auto"
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 10
    metrics: Any = ()
    callbacks: Any = ()
    penalties: Any = ()
    clip_norm: float | None = None
    shuffle: bool = True
    compile: bool = False
    threads: int | None = None
    device: str = "cpu"
    random_state: Any = None
    verbose: bool = False

    @abstractmethod
    def _checked(self, X: Any, y: Any, reset: bool = True) -> tuple[Array, Array]:
        """Rows and targets as arrays; of classes, their labels."""

    @abstractmethod
    def _learn_targets(self, y: Any) -> None:
        """Set what follows from the targets: their shape, or the labels."""

    @abstractmethod
    def _encoded(self, y: Array, ends: Ends, shape: tuple[int, ...]) -> Array:
        """The targets as the loss takes them; shape is that of a row's prediction."""

    @property
    @abstractmethod
    def _outputs(self) -> int:
        """The number of outputs that the targets need."""

    @property
    @abstractmethod
    def _default_loss(self) -> Loss: ...

    def _row_weights(self, y: Array, rows: Array, weights: Array | None) -> Array | None:
        """The weights of these rows, times those of their classes."""
        return weights

    def _strata(self, y: Array) -> Array | None:
        """What the rows that are held back for early stopping are stratified by."""
        return None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network on rows (n, features) and their targets; return the estimator.

        sample_weight  (n): a weight of 0 leaves a row out, and of 2 counts it twice. If a batch holds all rows, this is
                       so exactly, up to rounding; otherwise on average over the order of the rows
        """
        task = self._begin(X, y, sample_weight)
        self.history_ = task.fit(self._optimizer(), self._options(task))
        self._stepper_state: dict[str, Any] | None = None
        self._note()
        return self

    def _continue(self, X: Any, y: Any, sample_weight: Any, labels: Any = None) -> Self:
        """Train for one epoch, with the network and the optimizer's state of the last one, if there was one."""
        if self.early_stopping:
            raise ValueError("partial_fit makes one epoch and cannot stop early: use fit, or early_stopping=False.")
        if hasattr(self, "network_"):
            X, y, weights = without_weightless_rows(*self._checked(X, y, reset=False), sample_weight)
            task = self._task(X, y, weights, None, self.network_)
        else:
            task, self.history_, self._stepper_state = self._begin(X, y, sample_weight, labels), History(), None
        stepper = self._optimizer().bind(task.trained)
        if self._stepper_state is not None:
            stepper.load_state_dict(self._stepper_state)
        made = task.fit(stepper, {**self._options(task), "epochs": 1, "seed": None})
        self._stepper_state = stepper.state_dict()
        self.history_.append(made.last)
        self.history_.seconds += made.seconds
        self._note()
        return self

    def _begin(self, X: Any, y: Any, sample_weight: Any, labels: Any = None) -> Task:
        """Check the data, and make a new network."""
        X, y, weights = without_weightless_rows(*self._checked(X, y), sample_weight)
        self._learn_targets(y if labels is None else labels)
        return self._new_task(X, y, weights)

    def _new_task(self, X: Array, y: Array, weights: Array | None, rows: Rows | None = None) -> Task:
        """A new network and its data, of which some rows are held back where training may stop early."""
        flag()(type(self).__name__, "early_stopping", self.early_stopping)
        self._seed = int(check_random_state(self.random_state).randint(SEEDS))
        self.network_ = self._new_network(X.shape[1], DTYPES[X.dtype])
        if not self.early_stopping:
            return self._task(X, y, weights, rows, self.network_)
        rows = numpy.arange(len(X)) if rows is None else rows
        rows, held = train_test_split(
            rows, test_size=self.validation_fraction, random_state=self._seed, stratify=self._strata(y[rows])
        )
        return self._task(X, y, weights, rows, self.network_, held)

    def _new_network(self, features: int, dtype: torch.dtype) -> Any:
        given = self.network
        if given is None:
            given = perceptron(features, self.hidden, self.activation, self._outputs)
        net = declared(given, features, self._outputs, self._seed, self.device, dtype)
        net = with_loss(net, self.loss, self._default_loss, self._seed)
        return net.build({ends_of(net).input: (features,)})

    def _task(
        self, X: Array, y: Array, weights: Array | None, rows: Rows | None, net: Any, held: Rows | None = None
    ) -> Task:
        ends = ends_of(net)
        shape = net.shapes({ends.input: (2, X.shape[1])})[ends.prediction]
        if not isinstance(shape, tuple) or shape[:1] != (2,):
            raise ShapeError(f"The prediction {ends.prediction!r} of 2 rows has the shape {shape}, not (2, ...).")
        used = numpy.arange(len(X)) if rows is None else numpy.concatenate([rows, [] if held is None else held])
        found = self._row_weights(y, used.astype(int), weights)
        inputs = {ends.input: tensor_of(X), ends.target: tensor_of(self._encoded(y, ends, shape[1:]))}
        return Task(net, ends, inputs, None if found is None else scaled(found, rows), rows, held)

    def _optimizer(self) -> Optimizer:
        return Adam(lr=self.learning_rate) if self.optimizer is None else self.optimizer

    def _options(self, task: Task) -> dict[str, Any]:
        """The arguments of fit."""
        callbacks = self.callbacks
        if task.held is not None:
            callbacks = (*callbacks, EarlyStopping(patience=self.patience))
        return {
            "epochs": self.epochs,
            "batch_size": task.batch_size(self.batch_size),
            "seed": self._seed,
            "progress": bool(self.verbose),
            "callbacks": callbacks,
            **{name: getattr(self, name) for name in OPTIONS},
        }

    def _note(self) -> None:
        """Set the attributes that are read from the history."""
        self.loss_curve_ = list(self.history_["loss"])
        self.n_iter_ = self.history_.epochs

    def _values(self, X: Any) -> Array:
        """The predictions of the network for rows (n, features)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS, order="C")
        ends = ends_of(self.network_)
        return numpy.asarray(self.network_.predict({ends.input: tensor_of(X)}, [ends.prediction]).cpu().numpy())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += drawn(self)
        return bundle

    @property
    def _repr_html_(self) -> Callable[[], str]:
        shown = super()._repr_html_  # an AttributeError if scikit-learn is set to show text
        return lambda: shown() + drawn(self)


def checked_weights(X: Array, sample_weight: Any) -> Array | None:
    """The weights of rows, of which one at least is above 0; None for None."""
    if sample_weight is None:
        return None
    weights: Array = _check_sample_weight(sample_weight, X, dtype=numpy.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("Sample weights must not all be zero: no row is left to train on.")
    return weights


def without_weightless_rows(X: Array, y: Array, sample_weight: Any) -> tuple[Array, Array, Array | None]:
    """Rows, targets and weights without the rows whose weight is 0."""
    weights = checked_weights(X, sample_weight)
    if weights is None or weights.all():
        return X, y, weights
    kept = weights > 0
    return X[kept], y[kept], weights[kept]


def tensor_of(array: Array) -> Tensor:
    """An array as a tensor, which shares its memory where torch can."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
