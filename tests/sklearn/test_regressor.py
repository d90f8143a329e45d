import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_regression
from sklearn.preprocessing import scale

from graphdl import Embedding, HuberLoss, Linear, Network
from graphdl.errors import SettingError, ShapeError
from graphdl.sklearn import GraphRegressor

X, Y = make_regression(120, 5, n_targets=2, noise=1, random_state=0)
Y = scale(Y)


def small(**settings):
    return GraphRegressor(**{"hidden": (16,), "epochs": 60, "random_state": 0, **settings})


def test_one_and_several_targets():
    one, column, two = (small().fit(X, targets) for targets in (Y[:, 0], Y[:, :1], Y))
    assert one.predict(X).shape == (120,)
    assert column.predict(X).shape == (120, 1)
    assert two.predict(X).shape == (120, 2)
    assert np.array_equal(one.predict(X), column.predict(X)[:, 0])
    assert min(one.score(X, Y[:, 0]), two.score(X, Y)) > 0.9


def test_weights_count_as_repeated_rows():
    weights = np.random.default_rng(0).integers(0, 4, 120)[:100]
    rows, targets = X[:100], Y[:100]
    weighted = small(batch_size=None).fit(rows, targets, sample_weight=weights)
    repeated = small(batch_size=None).fit(rows.repeat(weights, 0), targets.repeat(weights, 0))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_)


def test_the_scale_of_weights_changes_nothing():
    weights = np.linspace(1, 2, 120)
    first, second = (small(batch_size=32).fit(X, Y, sample_weight=factor * weights) for factor in (1, 8))
    np.testing.assert_allclose(first.predict(X), second.predict(X))


def test_weights_in_small_batches_and_early_stopping():
    wrong = Y.copy()
    wrong[::2] += 5
    weights = np.tile([1e-3, 1], 60)
    model = small(batch_size=16, early_stopping=True, epochs=200).fit(X, wrong, sample_weight=weights)
    assert model.score(X, Y) > 0.8
    assert len(model.history_["validation_loss"]) == model.n_iter_


def test_partial_fit():
    model = small()
    losses = [model.partial_fit(X, Y, sample_weight=np.ones(120)).loss_curve_[-1] for _ in range(30)]
    assert losses[-1] < losses[0] / 2
    with pytest.raises(ShapeError, match="The targets of a row have the shape"):
        model.partial_fit(X, Y[:, 0])


def test_pandas_targets():
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = small().fit(frame, pd.DataFrame(Y, columns=["left", "right"]))
    assert np.array_equal(model.predict(frame), small().fit(X, Y).predict(X))


def test_networks_of_the_user():
    def build(n_features, n_outputs):
        return Network({"line": Linear(n_features, n_outputs), "loss": HuberLoss()}, {"x": ["line"], "line": ["loss"]})

    for network in (build, ({"line": Linear(5, 2)}, {"x": ["line"]}), build(5, 2)):
        assert small(network=network, learning_rate=0.05).fit(X, Y).score(X, Y) > 0.9


def test_a_network_is_copied_with_its_parameters_and_frozen_nodes():
    net = Network({"line": Linear(5, 2), "out": Linear(2, 2)}, {"x": ["line"], "line": ["out"]}, seed=0).freeze("line")
    before = net.state_dict()
    model = small(network=net, epochs=2).fit(X.astype(np.float32), Y, sample_weight=np.ones(120))
    assert all(np.array_equal(net.parameters[name], tensor) for name, tensor in before.items())
    assert np.array_equal(model.network_.parameters["line.weight"], before["line.weight"])
    assert not np.array_equal(model.network_.parameters["out.weight"], before["out.weight"])


LINE = {"line": Linear(5, 2)}


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"network": (LINE, {"x": ["line"]}, 1)}, SettingError, "give a function"),
        ({"network": lambda n, m: None}, SettingError, "network is None: give a function"),
        ({"network": Network}, SettingError, "give a function"),
        ({"network": ({"line": Linear(5, 3)}, {"x": ["line"]})}, ShapeError, "the network needs 2 outputs"),
        ({"network": ({"line": Linear(4, 2)}, {"x": ["line"]})}, ShapeError, "line"),
        ({"network": ({**LINE, "b": Linear(5, 2)}, {"x": ["line", "b"]})}, SettingError, "has 2 outputs, line and b"),
        ({"network": ({"loss": Linear(5, 2)}, {"x": ["loss"]})}, SettingError, "a node named 'loss': rename it"),
        ({"network": ({**LINE, "l": HuberLoss()}, {"line": ["l"]}), "loss": HuberLoss()}, SettingError, "remove one"),
        ({"loss": "huber"}, SettingError, "loss must be a loss such as"),
    ],
)
def test_wrong_networks(settings, error, text):
    with pytest.raises(error, match=text):
        small(**settings).fit(X, Y)


def test_a_network_with_two_inputs_is_refused():
    pair = ({"a": Linear(5, 2), "l": HuberLoss()}, {"x": ["a"], "a": ["l"], "l": []})
    two = ({**pair[0], "e": Embedding(3, 2), "m": HuberLoss()}, {**pair[1], "ids": ["e"], "e": ["m"]})
    with pytest.raises(SettingError, match="with one input for the rows, and it has 2"):
        small(network=two).fit(X, Y)


@pytest.mark.parametrize("wrong", [np.full(120, "a"), np.full(120, "2020-01-01", "datetime64[D]")])
def test_targets_that_are_not_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^y holds .*, such as .*, and the targets of a regression are numbers\.$"):
        small().fit(X, wrong)
