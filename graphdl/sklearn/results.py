"""The table of a search, as scikit-learn's cv_results_."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.stats import rankdata

Results = dict[str, Any]


def cv_results(
    params: Sequence[Mapping[str, Any]],
    times: Mapping[str, NDArray[Any]],
    test: Mapping[str, NDArray[Any]],
    train: Mapping[str, NDArray[Any]],
) -> Results:
    """Columns by name, an element for each setting; times and scores are (settings, folds)."""
    results: Results = {}
    for name, seconds in times.items():
        results |= _statistics(name, seconds)
    for name in dict.fromkeys(name for setting in params for name in setting):
        results[f"param_{name}"] = _column(name, params)
    results["params"] = list(params)
    for kind, scores in (("test", test), ("train", train)):
        for name, values in scores.items():
            results |= {f"split{k}_{kind}_{name}": column for k, column in enumerate(values.T)}
            results |= _statistics(f"{kind}_{name}", values)
            if kind == "test":
                results[f"rank_test_{name}"] = _ranks(results[f"mean_test_{name}"])
    return results


def _statistics(name: str, values: NDArray[Any]) -> Results:
    return {f"mean_{name}": values.mean(1), f"std_{name}": values.std(1)}


def _column(name: str, params: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
    """The values of a setting, masked where a grid does not have it."""
    column: Any = numpy.ma.MaskedArray(numpy.empty(len(params), dtype=object), mask=True)
    for k, setting in enumerate(params):
        if name in setting:
            column[k] = setting[name]
    return column  # type: ignore[no-any-return]


def _ranks(means: NDArray[Any]) -> NDArray[Any]:
    """1 for the best; settings without a mean come last."""
    known = numpy.where(numpy.isnan(means), -numpy.inf, means)
    return numpy.asarray(rankdata(-known, method="min"), dtype=numpy.int32)
