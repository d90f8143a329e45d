"""minimize: the methods of scipy.optimize.minimize on the losses of a network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from graphdl.calls import explained
from graphdl.errors import (
    GraphDLWarning,
    SettingError,
    counted,
    did_you_mean,
    import_optional,
    level_outside,
    listing,
)
from graphdl.network import Network
from graphdl.optim import Gathering, Penalty
from graphdl.optim.penalties import Penalties
from graphdl.training.batching import whole_batch
from graphdl.training.callbacks import Callback
from graphdl.training.evaluation import Validation
from graphdl.training.history import History
from graphdl.training.hooks import Callbacks, EpochEnd
from graphdl.training.inspection import inspect_batch
from graphdl.training.metrics import Metric
from graphdl.training.network_checks import check_network
from graphdl.training.objective import KeepGradient, Objective, Vector
from graphdl.training.progress import EpochProgress
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep
from graphdl.training.threads import check_threads, threads_restored

BY_GRADIENT = ("L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "trust-constr")
BY_PRODUCTS = ("Newton-CG", "trust-ncg", "trust-krylov")
BY_HESSIAN = ("dogleg", "trust-exact")
BY_LOSS = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
METHODS = (*BY_GRADIENT, *BY_PRODUCTS, *BY_HESSIAN, *BY_LOSS)


@explained("minimize(net, inputs, targets)")
def minimize(
    net: Network,
    inputs: Any,
    targets: Any = None,
    *,
    method: str = "L-BFGS-B",
    max_iterations: int = 1000,
    tolerance: float | None = None,
    options: Mapping[str, Any] | None = None,
    validation: Any = None,
    metrics: Sequence[str | Metric] = (),
    callbacks: Sequence[Callback | EpochEnd] = (),
    penalties: Sequence[Penalty] = (),
    threads: int | None = None,
    progress: bool = True,
) -> History:
    """Minimize the losses of a network on a whole data set by scipy.optimize.minimize; return the history.

    method          a method of scipy by its name. L-BFGS-B, BFGS, CG, TNC, SLSQP and trust-constr use the gradient;
                    Newton-CG, trust-ncg and trust-krylov also products of the Hessian with vectors, by differences of
                    the gradient; dogleg and trust-exact the Hessian, from n such products; Nelder-Mead, Powell, COBYLA
                    and COBYQA the loss alone
    max_iterations  the number of iterations after which it ends
    tolerance       scipy's `tol`; None for the method's own
    options         further options of the method, such as {"maxcor": 20}
    The other arguments are those of fit, and an iteration counts as an epoch.

    What is minimized is the sum of the losses, each times its weight, and of the penalties, by the parameters that are
    not frozen. The network keeps the best ones that were found, however it ends. history.message says how it ended; a
    GraphDLWarning is issued if scipy reports a failure. scipy computes in double precision, the network in its own
    type, whose rounding limits the accuracy: in float32 a line search may fail close to the minimum.

    BatchNorm normalizes by the statistics of the whole data set, and its running statistics are updated once an
    iteration. A trial point where the loss is not finite counts as a very bad one. Errors: SettingError for an unknown
    method or option, and for operators that draw random numbers, such as Dropout, since the loss must be a function of
    the parameters (freeze these nodes: they then run as in inference); NonFiniteError if the loss is not finite at the
    start; MissingPackageError without scipy.
    """
    chosen = _check(method, max_iterations)
    optimize = import_optional("scipy.optimize", "minimize", "scipy", "scipy")
    check_network(net, "minimize")
    check_threads(threads)
    calls, batch = Callbacks(callbacks), whole_batch("minimize", net, inputs, targets)
    scorer, gathering = Scorer(net, metrics), Gathering(penalties=penalties)
    inspect_batch(net, scorer, batch)
    validate = Validation(net, scorer, validation, max_iterations)
    terms = Penalties(gathering.penalties, [*scorer.names, *validate.names])
    calls.check([*scorer.names, *terms.names, *validate.names])
    step = TrainingStep(net, KeepGradient(lr=0.0).bind(net), scorer, threads, gathering=gathering)
    history = History()
    with threads_restored(), EpochProgress(max_iterations, progress) as bar:
        objective = Objective(step, batch, terms)
        alone = net.engine.turn.taken("minimize")
        with alone, calls.around(net, step.stepper, history), objective.best_kept():
            calls.epoch_start()
            iterations = Iterations(objective, calls, validate, history, bar, max_iterations)
            history.message = _solve(optimize, chosen, objective, iterations, tolerance, options)
            if not history.epochs:
                objective.measure_best()
                history.append(objective.figures | validate())
    return history


class Ended(Exception):  # noqa: N818  # not an error
    """Minimization ends after an iteration, for the reason given."""


class Iterations:
    """What is done after an iteration. Raises Ended if it is the last one."""

    def __init__(
        self,
        objective: Objective,
        calls: Callbacks,
        validate: Validation,
        history: History,
        bar: EpochProgress,
        most: int,
    ) -> None:
        self._objective, self._calls, self._validate, self.most = objective, calls, validate, most
        self.history, self._bar, self._start = history, bar, time.perf_counter()

    def __call__(self, x: Vector, *_: Any) -> None:
        """Take the point that an iteration has reached."""
        self._objective.iterate(x)
        figures = self._objective.figures | self._validate()
        self.history.append(figures)
        self.history.seconds = time.perf_counter() - self._start
        self._bar.advance(figures)
        self._calls.step_end()
        if self._calls.epoch_end():
            raise Ended("A callback ended it.")
        if self.history.epochs == self.most:
            raise Ended(f"max_iterations={self.most} was reached.")
        self._calls.epoch_start()


class OwnErrors:
    """Tells errors of operators, metrics and callbacks from those of scipy.

    error  the first one of them
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    def noted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose error is noted."""

        def call(*given: Any) -> Any:
            try:
                return function(*given)
            except Exception as error:
                self.error = self.error or error
                raise

        return call


def _solve(
    optimize: ModuleType,
    method: str,
    objective: Objective,
    iterations: Iterations,
    tolerance: float | None,
    options: Mapping[str, Any] | None,
) -> str:
    """Let scipy minimize the objective; return how it ended."""
    own = OwnErrors()
    derivatives: dict[str, Any] = {"jac": True}
    if method in BY_LOSS:
        derivatives = {}
    elif method in BY_PRODUCTS:
        derivatives["hessp"] = own.noted(objective.product)
    elif method in BY_HESSIAN:
        derivatives["hess"] = own.noted(objective.hessian)
    function = own.noted(objective if derivatives else lambda x: objective(x)[0])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Unknown solver options")
            result = optimize.minimize(
                function, objective.start, method=method, tol=tolerance, callback=own.noted(iterations),
                options={**_limits(method, iterations.most), **(options or {})}, **derivatives,
            )  # fmt: skip
    except Ended as ended:
        return str(ended)
    except (ArithmeticError, TypeError, ValueError, optimize.OptimizeWarning) as error:
        if own.error is not None:
            raise own.error from None
        raise SettingError(f"minimize: scipy's {method} failed: {type(error).__name__}: {error}") from error
    if not result.success:
        warnings.warn(
            f"minimize: {method} failed after {counted(iterations.history.epochs, 'iteration')}: {result.message} "
            "The network has the best parameters that were found.",
            GraphDLWarning,
            stacklevel=level_outside(),
        )
    return str(result.message)


def _limits(method: str, most: int) -> dict[str, int]:
    """Options of scipy's that end after the last iteration, so that Ended does."""
    iterations, evaluations = most + 1, 100 * (most + 1)
    limits = {
        "L-BFGS-B": {"maxiter": iterations, "maxfun": evaluations},
        "TNC": {"maxfun": evaluations},
        "COBYLA": {"maxiter": evaluations},
    }
    return limits.get(method, {"maxiter": iterations})


def _check(method: object, max_iterations: object) -> str:
    """The method by scipy's spelling. Raises SettingError for an unknown one, or another limit than a number."""
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
        raise SettingError(f"max_iterations must be a whole number, 1 or more, not {max_iterations!r}.")
    by_name = {name.lower(): name for name in METHODS}
    if not isinstance(method, str) or method.lower() not in by_name:
        meant = did_you_mean(method, METHODS) or f" scipy's methods are {listing(METHODS, len(METHODS))}."
        raise SettingError(f"minimize: there is no method {method!r}.{meant}")
    return by_name[method.lower()]
