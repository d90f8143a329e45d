import numpy as np
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graphdl import Linear, Network, rendering
from graphdl.sklearn import GraphRegressor

X, Y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
PAIR = ({"line": Linear(2, 1)}, {"x": ["line"]})


def test_html_has_the_diagram():
    for model in (GraphRegressor(PAIR), GraphRegressor(Network(*PAIR)), GraphRegressor(PAIR, epochs=1).fit(X, Y)):
        for html in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
            assert "GraphRegressor" in html
            assert html.count("<svg") - GraphRegressor()._repr_html_().count("<svg") == 1
            assert ">line<" in html


def test_html_without_a_network_is_that_of_scikit_learn():
    html = GraphRegressor()._repr_html_()
    assert "GraphRegressor" in html
    assert "Linear" not in html
    assert "fc1" in GraphRegressor(epochs=1).fit(X, Y)._repr_html_()


def test_html_without_graphviz(monkeypatch):
    monkeypatch.setattr(rendering.drawing, "available", lambda: False)
    assert ">line<" not in GraphRegressor(PAIR)._repr_html_()


def test_a_wrong_network_is_shown_as_text():
    assert "GraphRegressor" in GraphRegressor((1, 2))._repr_html_()
    assert "GraphRegressor" in GraphRegressor(({"line": 5}, {}))._repr_html_()


def test_text_where_scikit_learn_shows_text():
    with config_context(display="text"):
        assert not hasattr(GraphRegressor(PAIR), "_repr_html_")
        assert "text/html" not in GraphRegressor(PAIR)._repr_mimebundle_()


def test_pipelines_show_it():
    assert "GraphRegressor" in make_pipeline(StandardScaler(), GraphRegressor(PAIR))._repr_html_()
