"""Networks as regressors of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from graphdl.errors import ShapeError
from graphdl.operators import Loss, MSELoss
from graphdl.sklearn.estimator import FLOATS, Array, GraphEstimator
from graphdl.sklearn.networks import Ends


@dataclass(eq=False, repr=False)
class GraphRegressor(RegressorMixin, GraphEstimator):  # type: ignore[misc]
    """A network as a regressor of scikit-learn; targets may be (n) or (n, outputs).

    >>> line = GraphRegressor(hidden=(), learning_rate=0.1, random_state=0).fit([[0], [1], [2]], [1, 3, 5])
    >>> line.predict([[3]]).round(1)
    array([7.])
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows, going on where the last call stopped; return the estimator."""
        return self._continue(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """The targets of rows: (n), or (n, outputs) if those of training had two axes."""
        values = self._values(X)
        return values.reshape(len(values), *self._target_shape)

    def _checked(self, X: Any, y: Any, reset: bool = True) -> tuple[Array, Array]:
        kinds = {"dtype": FLOATS, "order": "C", "multi_output": True, "y_numeric": True}
        X, y = validate_data(self, X, y, reset=reset, **kinds)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y holds {y.dtype}, such as {y.flat[0]!r}, and the targets of a regression are numbers.")
        return X, y

    def _learn_targets(self, y: Any) -> None:
        self._target_shape = y.shape[1:]

    @property
    def _outputs(self) -> int:
        return int(numpy.prod(self._target_shape))

    @property
    def _default_loss(self) -> Loss:
        return MSELoss()

    def _encoded(self, y: Array, ends: Ends, shape: tuple[int, ...]) -> Array:
        if numpy.prod(shape) != numpy.prod(y.shape[1:]):
            raise ShapeError(
                f"The targets of a row have the shape {y.shape[1:]} and its prediction {ends.prediction!r} {shape}: "
                f"the network needs {self._outputs} outputs."
            )
        return y.reshape(len(y), *shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
