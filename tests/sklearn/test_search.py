import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris, make_regression
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from graphdl import Linear
from graphdl.errors import GraphDLError, SettingError
from graphdl.optim import L2, SGD, Adam
from graphdl.sklearn import GraphClassifier, GraphRegressor, GraphSearchCV

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
WEIGHTS = np.arange(150) % 3


def small(**settings):
    return GraphClassifier(**{"hidden": (4,), "epochs": 10, "random_state": 0, **settings})


def accuracy(estimator, rows, targets):
    """Without weights: GridSearchCV weights the scores in some versions of scikit-learn only."""
    return np.mean(estimator.predict(rows) == targets)


def both(estimator, grid, *, weights=None, **settings):
    ours = GraphSearchCV(estimator, grid, compile=False, **settings).fit(X, Y, sample_weight=weights)
    return ours, GridSearchCV(estimator, grid, **settings).fit(X, Y, sample_weight=weights)


@pytest.mark.filterwarnings("ignore:.*does not support sample_weight")
@pytest.mark.parametrize(
    ("estimator", "grid", "weights"),
    [
        (small(), {"hidden": [(2,), (4,)], "optimizer": [SGD(lr=0.1), Adam(lr=0.1)]}, None),
        (small(), [{"epochs": [2, 10], "batch_size": [16]}, {"penalties": [(L2(0.1),)], "random_state": [1]}], None),
        (small(early_stopping=True, patience=2), {"learning_rate": [0.1, 0.5]}, None),
        (small(class_weight="balanced"), {"hidden": [(2,), (4,)]}, WEIGHTS),
        (small(), {"class_weight": [None, {0: 5.0}], "activation": ["tanh", "relu"]}, None),
    ],
)
def test_is_grid_search(estimator, grid, weights):
    ours, theirs = both(estimator, grid, weights=weights, scoring=accuracy, cv=3, return_train_score=True)
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    for name in ours.cv_results_:
        if "score" in name and "time" not in name:
            np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], err_msg=name)
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_index_ == theirs.best_index_
    assert ours.best_score_ == pytest.approx(theirs.best_score_)
    assert np.array_equal(ours.predict_proba(X), theirs.predict_proba(X))


def test_networks_are_trained_together():
    search = GraphSearchCV(small(), {"hidden": [(2,), (4,)], "learning_rate": [0.01, 0.1]}, cv=3).fit(X, Y)
    assert [len(sweep) for sweep in search.sweeps_] == [4 * 3]
    assert search.n_splits_ == 3
    assert search.classes_.tolist() == [0, 1, 2]
    assert search.score(X, Y) == search.best_estimator_.score(X, Y)


def test_scores_are_weighted():
    search = GraphSearchCV(small(), {"hidden": [(4,)]}, cv=[(np.arange(150), np.arange(150))], compile=False)
    search.fit(X, Y, sample_weight=WEIGHTS)
    assert search.best_score_ == pytest.approx(search.best_estimator_.score(X, Y, WEIGHTS))
    assert search.best_score_ != pytest.approx(search.best_estimator_.score(X, Y))


def test_several_scores():
    search = GraphSearchCV(
        small(), {"hidden": [(2,), (4,)]}, scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss"
    )
    search.fit(X, Y)
    assert {"mean_test_accuracy", "rank_test_neg_log_loss", "split4_test_accuracy"} <= search.cv_results_.keys()
    assert search.best_score_ == search.cv_results_["mean_test_neg_log_loss"].max()
    assert search.score(X, Y) < 0
    with pytest.raises(ValueError, match="refit must be one of 'accuracy', 'neg_log_loss'"):
        search.set_params(refit=True).fit(X, Y)


def test_without_refit_and_with_a_choice_of_the_user():
    search = GraphSearchCV(small(), {"hidden": [(2,), (4,)]}, cv=2, refit=False).fit(X, Y)
    assert not hasattr(search, "best_estimator_")
    assert search.best_params_ in ({"hidden": (2,)}, {"hidden": (4,)})
    chosen = GraphSearchCV(small(), {"hidden": [(2,), (4,)]}, cv=2, refit=lambda results: 1).fit(X, Y)
    assert chosen.best_params_ == {"hidden": (4,)}


def test_pandas_groups_and_regression():
    rows, targets = make_regression(60, 3, random_state=0)
    frame, groups = pd.DataFrame(rows, columns=list("abc")), np.arange(60) % 4
    search = GraphSearchCV(
        GraphRegressor(network=lambda n, m: ({"line": Linear(n, m)}, {"x": ["line"]}), epochs=100, random_state=0),
        {"learning_rate": [1e-3, 1.0]},
        cv=GroupKFold(2),
    ).fit(frame, pd.Series(targets / targets.std()), groups=groups)
    assert search.best_params_ == {"learning_rate": 1.0}
    assert search.feature_names_in_.tolist() == list("abc")
    assert search.best_estimator_.feature_names_in_.tolist() == list("abc")


def test_training_that_fails_has_no_score():
    grid = {"optimizer": [SGD(lr=1e300), Adam(lr=0.1)]}
    with pytest.warns(FitFailedWarning, match=r"not finite|is nan|is inf"):
        search = GraphSearchCV(small(loss=None), grid, cv=2, compile=False).fit(X, Y)
    assert np.isnan(search.cv_results_["mean_test_score"][0])
    assert search.best_index_ == 1
    assert search.cv_results_["rank_test_score"].tolist() == [2, 1]
    with pytest.raises(GraphDLError, match=r"not finite|is nan|is inf"):
        GraphSearchCV(small(), grid, cv=2, compile=False, error_score="raise").fit(X, Y)


def test_errors():
    with pytest.raises(SettingError, match="over a GraphClassifier or a GraphRegressor, not Ridge"):
        GraphSearchCV(Ridge(), {"alpha": [1]}).fit(X, Y)
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        GraphSearchCV(small(), {"width": [1]}).fit(X, Y)
    with pytest.raises(GraphDLError, match="activation must be"):
        GraphSearchCV(small(), {"activation": ["none"]}).fit(X, Y)


@pytest.mark.parametrize(
    "grid",
    [
        {"hidden": ["abc", (8,)]},
        {"epochs": ["many", 10]},
        {"learning_rate": [-1.0, 0.01]},
        {"penalties": [("l2",), ()]},
        {"activation": ["bent", "relu"]},
    ],
    ids=str,
)
def test_a_setting_that_is_refused_has_no_score(grid):
    (name,) = grid
    with pytest.warns(FitFailedWarning):
        search = GraphSearchCV(small(), grid, cv=2).fit(X, Y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.best_params_ == {name: grid[name][1]}
    assert sum(map(len, search.sweeps_)) == 2
    for settings in ({"error_score": "raise"}, {"param_grid": {name: grid[name][:1]}}):
        with pytest.raises((GraphDLError, ValueError)):
            GraphSearchCV(small(), **{"param_grid": grid, "cv": 2, **settings}).fit(X, Y)
