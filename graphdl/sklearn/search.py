"""GraphSearchCV: cross-validated search over settings, which trains all networks together."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import indexable

from graphdl.errors import GraphDLError, SettingError
from graphdl.search import Sweep, fit_all
from graphdl.sklearn.estimator import Array, GraphEstimator, checked_weights
from graphdl.sklearn.results import cv_results
from graphdl.sklearn.task import Task

TAKEN = ("epochs", "batch_size", "metrics", "callbacks", "clip_norm", "shuffle")
"""Arguments of fit that fit_all takes alike."""

SHARED = ("epochs", "batch_size", "shuffle", "metrics", "callbacks", "clip_norm", "early_stopping", "patience")
"""The settings that all networks have in common that are trained by one call."""


REFUSED = GraphDLError, ValueError
"""What settings raise that cannot be trained."""


@dataclass
class Candidate:
    """An estimator with the settings of a candidate on one of the folds.

    training, held  the rows of the fold, on which it is trained and scored
    error           why training failed, or ""
    refusal         the error that its settings raised, which kept it from training
    """

    estimator: Any
    params: Mapping[str, Any]
    task: Task | None
    training: Array
    held: Array
    seconds: float = 0.0
    error: str = ""
    refusal: Exception | None = None

    @property
    def known(self) -> Task:
        """The task of a candidate that was not refused."""
        assert self.task is not None
        return self.task

    @property
    def group(self) -> tuple[str, bytes | None]:
        """What is equal for all networks that are trained by one call."""
        task = self.known
        weights = None if task.weights is None else task.weights.tobytes()
        data = [(name, tensor.dtype, tensor.shape) for name, tensor in task.inputs.items()]
        settings = {name: self.params[name] for name in SHARED if name in self.params}
        return repr((settings, self.estimator._options(task)["batch_size"], data)), weights

    def refuse(self, error: Exception) -> None:
        """Note the error that the settings raised."""
        self.error, self.refusal = f"{type(error).__name__}: {error}", error


class GraphSearchCV(GridSearchCV):  # type: ignore[misc]
    """An exhaustive search by cross-validation, as GridSearchCV, in which all networks are trained together.

    estimator   a GraphClassifier or a GraphRegressor
    param_grid  {name of a setting: values}, or a list of such grids
    scoring, refit, cv, error_score, return_train_score  as in GridSearchCV
    compile     compiles the steps of networks of equal structure once, if they are many enough to gain by it
    threads     how many threads train networks; by default all cores
    backend     "compiled", "operators" or "processes", as in graphdl.search.fit_all
    verbose     shows a progress bar on a terminal

    Each network is trained as the estimator alone would train it. Attributes are those of GridSearchCV:
    best_estimator_, best_params_, best_score_, best_index_, cv_results_, n_splits_, scorer_, refit_time_, ...; and
    sweeps_ has the graphdl.search.Sweep of each group of networks with the same epochs, batches and weights of rows.
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        compile: bool = True,  # noqa: A002
        threads: int | None = None,
        backend: Any = None,
        verbose: bool = False,
        error_score: Any = numpy.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.compile = compile
        self.threads = threads
        self.backend = backend

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags = get_tags(self.estimator).target_tags
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train a network for all settings and folds, then one with the best settings on all rows.

        sample_weight  (n): weights of rows in training and in scores
        groups         (n): for the splitter of cv
        """
        if not isinstance(self.estimator, GraphEstimator):
            raise SettingError(
                f"GraphSearchCV searches over a GraphClassifier or a GraphRegressor, not "
                f"{type(self.estimator).__name__}: for pipelines and other estimators, use sklearn.model_selection."
                "GridSearchCV."
            )
        X, y, groups = indexable(X, y, groups)
        prototype = clone(self.estimator)
        rows, targets = prototype._checked(X, y)
        weights = checked_weights(rows, sample_weight)
        if weights is not None:  # the targets of rows that do not count may be anything
            targets = targets.copy()
            targets[weights == 0] = targets[weights > 0][0]
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits, params = list(splitter.split(X, y, groups)), list(ParameterGrid(self.param_grid))
        self.n_splits_ = len(splits)
        self._make_scorers()
        candidates = [
            _candidate(prototype, setting, (rows, targets, weights), split) for setting in params for split in splits
        ]
        self.sweeps_ = self._train(candidates)
        self.cv_results_ = self._results(params, candidates, X, y, weights)
        self._choose()
        if self.refit:
            start = time.perf_counter()
            best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
            self.best_estimator_ = best.fit(X, y, sample_weight)
            self.refit_time_ = time.perf_counter() - start
            if hasattr(best, "feature_names_in_"):
                self.feature_names_in_ = best.feature_names_in_
        return self

    def _make_scorers(self) -> None:
        """Set scorer_, a dictionary if several were asked for."""
        named = self.scoring if isinstance(self.scoring, Mapping) else None
        if isinstance(self.scoring, (list, tuple, set)):
            named = {name: name for name in self.scoring}
        self.multimetric_ = named is not None
        if named is None:
            self.scorer_ = check_scoring(self.estimator, self.scoring)
            return
        self.scorer_ = {name: check_scoring(self.estimator, scoring) for name, scoring in named.items()}
        if self.refit and not callable(self.refit) and self.refit not in self.scorer_:
            raise ValueError(
                f"refit must be one of {', '.join(map(repr, self.scorer_))}, a function of cv_results_, or False, if "
                f"scoring has several names; it is {self.refit!r}."
            )

    def _train(self, candidates: Sequence[Candidate]) -> list[Sweep]:
        """Train the networks of all candidates, by a call for each group. Raises the error if all are refused."""
        groups: dict[tuple[str, bytes | None], list[Candidate]] = {}
        for candidate in candidates:
            if candidate.refusal is None:
                groups.setdefault(candidate.group, []).append(candidate)
        sweeps = [sweep for group in groups.values() for sweep in self._try_group(group)]
        refused = [candidate.refusal for candidate in candidates if candidate.refusal is not None]
        if refused and (self.error_score == "raise" or len(refused) == len(candidates)):
            raise refused[0]
        return sweeps

    def _try_group(self, group: Sequence[Candidate]) -> list[Sweep]:
        """The sweeps of a group: one, or, if a setting is refused, one for each of those that are not."""
        try:
            return [self._train_group(group)]
        except REFUSED as error:
            if len(group) > 1:
                return [sweep for candidate in group for sweep in self._try_group([candidate])]
            group[0].refuse(error)
            return []

    def _train_group(self, group: Sequence[Candidate]) -> Sweep:
        first, tasks = group[0].estimator, [candidate.known for candidate in group]
        options = first._options(tasks[0])
        sweep = fit_all(
            [task.trained for task in tasks],
            tasks[0].inputs,
            optimizers=[candidate.estimator._optimizer() for candidate in group],
            penalties=[tuple(candidate.estimator.penalties) for candidate in group],
            seeds=[candidate.estimator._seed for candidate in group],
            rows=[torch.from_numpy(task.rows) for task in tasks],
            validation_rows=None if tasks[0].held is None else [torch.from_numpy(task.held) for task in tasks],
            compile=self.compile,
            threads=self.threads,
            backend=self.backend,
            progress=bool(self.verbose),
            **{name: options[name] for name in TAKEN},
        )
        if not sweep.complete:
            raise KeyboardInterrupt
        for candidate, row, history in zip(group, sweep.table, sweep.histories, strict=True):
            candidate.seconds, candidate.error = row["seconds"], row["error"] or ""
            candidate.estimator.history_ = history
        return sweep

    def _results(
        self, params: Sequence[Any], candidates: Sequence[Candidate], X: Any, y: Any, weights: Array | None
    ) -> dict[str, Any]:
        """cv_results_."""
        test, train, score_times = [], [], []
        for candidate in candidates:
            start = time.perf_counter()
            test.append(self._scores(candidate, candidate.held, X, y, weights))
            score_times.append(time.perf_counter() - start)
            if self.return_train_score:
                train.append(self._scores(candidate, candidate.training, X, y, weights))
        fit_times = [candidate.seconds for candidate in candidates]

        def table(values: Sequence[float]) -> Array:
            return numpy.reshape(numpy.asarray(values), (len(params), self.n_splits_))

        test_scores, train_scores = (
            {name: table([row[name] for row in rows]) for name in (rows[0] if rows else ())} for rows in (test, train)
        )
        times = {"fit_time": table(fit_times), "score_time": table(score_times)}
        return cv_results(params, times, test_scores, train_scores)

    def _scores(self, candidate: Candidate, rows: Array, X: Any, y: Any, weights: Array | None) -> dict[str, float]:
        """The scores of a candidate by name."""
        scorers = self.scorer_ if self.multimetric_ else {"score": self.scorer_}
        if candidate.error:
            if self.error_score == "raise":
                raise GraphDLError(f"{candidate.params}: {candidate.error}")
            warnings.warn(f"{candidate.params}: {candidate.error}", FitFailedWarning, stacklevel=4)
            return {name: float(self.error_score) for name in scorers}
        given = _safe_indexing(X, rows), _safe_indexing(y, rows)
        weighed = {} if weights is None else {"sample_weight": weights[rows]}
        return {
            name: float(scorer(candidate.estimator, *given, **(weighed if takes_weights(scorer) else {})))
            for name, scorer in scorers.items()
        }

    def _choose(self) -> None:
        """Set the attributes of the best candidate."""
        name = self.refit if self.multimetric_ else "score"
        if self.multimetric_ and not self.refit:
            return
        results = self.cv_results_
        self.best_index_ = int(self.refit(results) if callable(self.refit) else results[f"rank_test_{name}"].argmin())
        self.best_params_ = results["params"][self.best_index_]
        if not callable(self.refit):
            self.best_score_ = float(results[f"mean_test_{name}"][self.best_index_])


def takes_weights(scorer: Any) -> bool:
    """Whether a scorer takes sample_weight: a function of the user may not."""
    parameters = inspect.signature(scorer).parameters
    return "sample_weight" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _candidate(
    prototype: Any, setting: Mapping[str, Any], data: tuple[Array, Array, Array | None], split: tuple[Array, Array]
) -> Candidate:
    """An estimator with a setting, and what it trains on: the rows of a fold that have weights above 0."""
    rows, targets, weights = data
    estimator = clone(prototype).set_params(**clone(setting, safe=False))
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(prototype, name):
            setattr(estimator, name, getattr(prototype, name))
    training = split[0] if weights is None else split[0][weights[split[0]] > 0]
    candidate = Candidate(estimator, setting, None, *split)
    try:
        estimator._learn_targets(targets)
        candidate.task = estimator._new_task(rows, targets, weights, numpy.asarray(training, numpy.int64))
    except REFUSED as error:
        candidate.refuse(error)
    return candidate
