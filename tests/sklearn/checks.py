"""All checks of scikit-learn's check_estimator on the estimators, with the scikit-learn that is imported.

    python -m tests.sklearn.checks [NAME ...]

NAME is GraphClassifier, GraphRegressor, search_classifier or search_regressor; by default the first two. With the
oldest supported version, in a folder of its own:

    pip install --target /tmp/sklearn-1.6 --no-deps scikit-learn==1.6.0
    PYTHONPATH=/tmp/sklearn-1.6 python -m tests.sklearn.checks

Prints how many checks passed, failed, were skipped and failed as expected; the exit code is 1 unless all passed.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections import Counter

STATES = ("passed", "failed", "skipped", "xfail")


def estimators():
    """The estimators by name: those that are built by default, and small searches over them."""
    from graphdl.sklearn import GraphClassifier, GraphRegressor, GraphSearchCV

    rates = {"learning_rate": [0.01, 0.02]}
    return {
        "GraphClassifier": GraphClassifier(),
        "GraphRegressor": GraphRegressor(),
        "search_classifier": GraphSearchCV(GraphClassifier(hidden=(20,), random_state=0), rates, cv=2),
        "search_regressor": GraphSearchCV(GraphRegressor(hidden=(50,), random_state=0), rates, cv=2),
    }


def main(names: list[str]) -> int:
    os.environ["SCIPY_ARRAY_API"] = "1"  # read when scipy is imported; a check is skipped without it
    import sklearn
    from sklearn.utils.estimator_checks import check_estimator

    warnings.simplefilter("ignore")
    failed = 0
    for name in names or ["GraphClassifier", "GraphRegressor"]:
        start = time.perf_counter()
        results = check_estimator(estimators()[name], on_skip=None, on_fail=None)
        counts = Counter(result["status"] for result in results)
        failed += len(results) - counts["passed"]
        listed = ", ".join(f"{counts[state]} {state}" for state in STATES)
        print(f"scikit-learn {sklearn.__version__}, {name}: {listed} ({time.perf_counter() - start:.0f} s)")
        for result in results:
            if result["status"] != "passed":
                print(f"  {result['status']} {result['check_name']}: {result['exception']!r:.1000}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
