"""scikit-learn's perceptron with its Adam.

It has no Tanh at the output and halves the squared error, so its losses are its own; the work is the same but for that.
"""

from __future__ import annotations

import warnings

from benchmarks.perceptron import BATCH, LR, WIDTHS, Problem, Train


def sklearn_mlp(problem: Problem) -> Train:
    """fit, called again for every few epochs, continuing from the last state."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    x, y = problem.x.numpy(), problem.y.numpy()
    model = MLPRegressor(
        hidden_layer_sizes=WIDTHS[1:-1],
        alpha=0.0,
        batch_size=BATCH,
        learning_rate_init=LR,
        shuffle=problem.shuffle,
        random_state=0,
        tol=0.0,
        n_iter_no_change=10_000,
        warm_start=True,
    )

    def train(epochs: int) -> list[float]:
        model.set_params(max_iter=epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        return list(model.loss_curve_[-epochs:])

    return train
