import pickle
from itertools import pairwise

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_sample_weight

from graphdl import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    EarlyStopping,
    L1Loss,
    Linear,
    LogSoftmax,
    MSELoss,
    Network,
    NLLLoss,
    ReLU,
    Sigmoid,
    SmoothL1Loss,
    SoftMarginLoss,
)
from graphdl.errors import SettingError, ShapeError
from graphdl.optim import SGD
from graphdl.sklearn import GraphClassifier

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
NAMES = np.array(["setosa", "versicolor", "virginica"])
PAIR = (X[Y < 2], Y[Y < 2])


def small(**settings):
    return GraphClassifier(**{"hidden": (8,), "epochs": 30, "random_state": 0, **settings})


def test_learns_and_predicts_labels():
    model = small().fit(X, NAMES[Y])
    assert model.classes_.tolist() == NAMES.tolist()
    assert set(model.predict(X)) <= set(NAMES)
    assert model.score(X, NAMES[Y]) > 0.85
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    assert model.decision_function(X).shape == (150, 3)


def test_records_training():
    model = small().fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == model.history_.epochs == 30
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert isinstance(model.network_, Network)
    assert model.n_features_in_ == 4


def test_same_random_state_same_numbers():
    first, second, other = (small(random_state=seed, batch_size=16).fit(X, Y) for seed in (0, 0, 1))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


def test_takes_the_type_of_the_data():
    assert small().fit(X.astype(np.float32), Y).predict_proba(X).dtype == np.float32
    assert small().fit(X, Y).predict_proba(X).dtype == np.float64


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ({"loss": CrossEntropyLoss()}, 2),
        ({"log": LogSoftmax(1), "loss": NLLLoss()}, 2),
        ({"loss": BCEWithLogitsLoss()}, 1),
        ({"loss": BCEWithLogitsLoss()}, 2),
        ({"sigmoid": Sigmoid(), "loss": BCELoss()}, 1),
        ({"sigmoid": Sigmoid(), "loss": BCELoss()}, 2),
    ],
)
def test_losses_with_probabilities(nodes, outputs):
    chain = ["x", "fc", *nodes]
    net = ({"fc": Linear(4, outputs), **nodes}, {a: [b] for a, b in pairwise(chain)})
    model = small(network=net).fit(*PAIR)
    probabilities = model.predict_proba(PAIR[0])
    assert model.score(*PAIR) > 0.95
    assert model.decision_function(PAIR[0]).shape == (100,)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert np.array_equal(probabilities.argmax(1), model.predict(PAIR[0]))


def test_a_loss_without_probabilities():
    model = small(loss=MSELoss())
    assert not hasattr(model, "predict_proba")
    assert model.fit(X, Y).score(X, Y) > 0.8
    assert not hasattr(model, "predict_proba")


@pytest.mark.parametrize("loss", [MSELoss(), L1Loss(), SmoothL1Loss(), SoftMarginLoss(), BCEWithLogitsLoss()], ids=str)
@pytest.mark.parametrize("outputs", [1, 2])
def test_every_loss_separates_two_classes(loss, outputs):
    """Unequal classes: a threshold that is not the loss's own would cut off many rows."""
    rows = np.r_[0:50, 50:60]
    net = ({"fc": Linear(4, outputs), "loss": loss}, {"x": ["fc"], "fc": ["loss"]})
    model = small(network=net, epochs=300, learning_rate=0.05).fit(X[rows], NAMES[Y[rows]])
    assert model.score(X[rows], NAMES[Y[rows]]) == 1
    assert np.array_equal(model.decision_function(X[rows]) > 0, Y[rows] == 1)


def test_class_weight_is_a_weight_of_rows():
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    weighted = small(class_weight=weights).fit(X, Y)
    same = small().fit(X, Y, sample_weight=np.vectorize(weights.get)(Y))
    np.testing.assert_allclose(weighted.predict_proba(X), same.predict_proba(X))
    assert not np.allclose(weighted.predict_proba(X), small().fit(X, Y).predict_proba(X))


def test_balanced_class_weight():
    rows = np.r_[0:50, 50:60, 100:130]
    balanced = small(class_weight="balanced").fit(X[rows], Y[rows])
    same = small().fit(X[rows], Y[rows], sample_weight=compute_sample_weight("balanced", Y[rows]))
    np.testing.assert_allclose(balanced.predict_proba(X), same.predict_proba(X))


def test_balanced_class_weight_counts_weights_of_rows():
    weights = np.arange(150) % 4
    weighted = small(class_weight="balanced", batch_size=None).fit(X, Y, sample_weight=weights)
    repeated = small(class_weight="balanced", batch_size=None).fit(X.repeat(weights, 0)[::-1], Y.repeat(weights)[::-1])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)


def test_a_class_whose_rows_all_weigh_nothing_is_no_class():
    model = small().fit(X, Y, sample_weight=(Y != 1).astype(float))
    assert model.classes_.tolist() == [0, 2]


def test_early_stopping_holds_rows_back():
    model = small(early_stopping=True, epochs=500, patience=3, learning_rate=0.1).fit(X, Y)
    assert model.n_iter_ < 500
    losses = model.history_["validation_loss"]
    assert len(losses) - np.argmin(losses) - 1 == 3


def test_class_weight_counts_for_the_rows_that_are_held_back():
    settings = {"early_stopping": True, "epochs": 3}
    weighted = small(class_weight={0: 9.0}, **settings).fit(X, Y)
    same = small(**settings).fit(X, Y, sample_weight=np.where(Y == 0, 9.0, 1.0))
    np.testing.assert_allclose(weighted.history_["validation_loss"], same.history_["validation_loss"])


def test_metrics_and_callbacks():
    seen = []
    model = small(metrics=("accuracy",), callbacks=(lambda net, history: seen.append(history.epochs),), epochs=3)
    model.fit(X, Y, sample_weight=np.ones(150))
    assert seen == [1, 2, 3]
    assert len(model.history_["accuracy"]) == 3
    stopped = small(callbacks=(EarlyStopping("loss", patience=1),), optimizer=SGD(lr=50.0), epochs=400).fit(X, Y)
    assert stopped.n_iter_ < 400


def test_partial_fit_over_all_rows_is_fit():
    whole = small(epochs=10).fit(X, Y)
    parts = small(epochs=10)
    for _ in range(10):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X))
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_)
    assert parts.n_iter_ == 10


def test_partial_fit_goes_on_after_pickling():
    model = small(batch_size=32).partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y, sample_weight=np.ones(150))
    copy = pickle.loads(pickle.dumps(model))
    first, second = (each.partial_fit(X, Y).predict_proba(X) for each in (model, copy))
    assert np.array_equal(first, second)


def test_partial_fit_needs_the_classes():
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        small().partial_fit(X, Y)
    model = small().partial_fit(X[:50], Y[:50], classes=[0, 1])
    assert model.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="y has the label 2, which is not one of the classes"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="are not those of the first call"):
        model.partial_fit(X[:50], Y[:50], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not supported by partial_fit"):
        small(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="partial_fit makes one epoch"):
        small(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])


def test_pandas_in_and_out():
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    labels = pd.Series(NAMES[Y], index=frame.index[::-1], dtype="category")
    model = small().fit(frame, labels, sample_weight=pd.Series(np.ones(150)))
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert model.score(frame, labels) > 0.85
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c", "d"]])
    stack = StackingClassifier([("graph", small())], DecisionTreeClassifier()).set_output(transform="pandas")
    assert list(stack.fit(frame, Y).transform(frame).columns) == [f"stackingclassifier_graph{k}" for k in range(3)]


def test_pipeline_and_grid_search():
    pipeline = make_pipeline(StandardScaler(), small()).set_output(transform="pandas")
    search = GridSearchCV(pipeline, {"graphclassifier__hidden": [(2,), (8,)]}, cv=2)
    search.fit(pd.DataFrame(X, columns=list("abcd")), Y)
    assert search.best_estimator_[-1].feature_names_in_.tolist() == list("abcd")
    assert search.best_score_ > 0.8
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_pickle_and_joblib(tmp_path):
    model = small().fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))


def test_clone_and_settings():
    net = ({"fc": Linear(4, 3)}, {"x": ["fc"]})
    model = clone(small(network=net, optimizer=SGD(lr=0.1)))
    assert model.get_params()["network"] == net
    assert model.set_params(epochs=3).fit(X, Y).n_iter_ == 3


def test_compiled_training_agrees():
    data = load_breast_cancer(return_X_y=True)
    scaled = StandardScaler().fit_transform(data[0])
    stepped, compiled = (small(compile=way, epochs=5).fit(scaled, data[1]) for way in (False, True))
    np.testing.assert_allclose(stepped.predict_proba(scaled), compiled.predict_proba(scaled), rtol=1e-6)


def test_a_function_of_the_shape_of_the_data():
    scores = cross_val_score(pickle.loads(pickle.dumps(small(network=perceptron))), X, Y, cv=2)
    assert scores.mean() > 0.8


def perceptron(n_features, n_outputs):
    return {"fc": Linear(n_features, 8), "relu": ReLU(), "out": Linear(8, n_outputs)}, {
        "x": ["fc"],
        "fc": ["relu"],
        "relu": ["out"],
    }


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"hidden": 8}, SettingError, r"hidden must be a tuple of sizes such as \(100,\), not 8"),
        ({"activation": "rellu"}, SettingError, "Did you mean 'relu'"),
        ({"early_stopping": "yes"}, SettingError, "early_stopping must be True or False, not 'yes'"),
        (
            {"network": ({"fc": Linear(4, 2)}, {"x": ["fc"]})},
            ShapeError,
            "There are 3 classes, and the prediction 'fc'",
        ),
        ({"epochs": 0}, SettingError, "epochs must be"),
        ({"optimizer": "adam"}, SettingError, "optimizer must be an optimizer"),
        ({"class_weight": {7: 1.0}}, ValueError, "not in class_weight"),
        ({"class_weight": {0: float("nan")}}, ValueError, "weights are finite numbers of at least 0"),
        ({"class_weight": {0: -1.0}}, ValueError, "weights are finite numbers of at least 0"),
    ],
)
def test_wrong_settings(settings, error, text):
    with pytest.raises(error, match=text):
        small(**settings).fit(X, Y)


def test_wrong_data():
    with pytest.raises(ValueError, match="Unknown label type"):
        small().fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"Sample weights must.*zero"):
        small().fit(X, Y, sample_weight=np.zeros(150))
    with pytest.raises(ValueError, match="Negative values"):
        small().fit(X, Y, sample_weight=np.full(150, -1.0))
    with pytest.raises(NotFittedError):
        small().predict(X)
    with pytest.raises(ValueError, match="3 features"):
        small().fit(X, Y).predict(X[:, :3])
