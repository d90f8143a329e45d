"""What a terminal and a notebook show of networks, costs, histories and sweeps."""

import copy
import pickle

import pytest

from graphdl import Linear, MSELoss, Network
from graphdl.optim import Adam
from graphdl.rendering import drawing
from graphdl.search import sweep
from graphdl.tables import text_table
from graphdl.training import History

NET = Network({"<b>": Linear(2, 1), "loss": MSELoss()}, {"x": ["<b>"], "<b>": ["loss"], "y": ["loss"]}, seed=0)


def test_a_table_is_its_text_and_has_html():
    table = text_table({"name": "left", "size": "right"}, [["a<b", "1"], ["c", "20"]], ["total", "21"], ["all & more"])
    assert table.splitlines()[0] == "name    size"
    assert table.splitlines()[2:] == ["a<b        1", "c         20", "total     21", "all & more"]
    html = table._repr_html_()
    assert '<td style="text-align: left">a&lt;b</td><td style="text-align: right">1</td>' in html
    assert html.endswith("<pre>all &amp; more</pre>")
    for again in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert (again, again._repr_html_()) == (table, html)


def test_summary_and_cost_are_text_and_html():
    summary, cost = NET.summary(), NET.cost({"x": (5, 2), "y": (5, 1)}, Adam())
    assert isinstance(summary, str)
    assert "<b>" in summary
    for html in (summary._repr_html_(), cost._repr_html_()):
        assert "&lt;b&gt;" in html
        assert "<b>" not in html
    assert "peak of a training step" in cost._repr_html_()


def test_a_table_is_written_out_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "Linear 2 → 1" in NET.summary()
    assert "peak of a training step" in str(NET.cost({"x": (5, 2), "y": (5, 1)}))


def test_a_history_shows_extremes_and_their_epochs():
    history = History()
    for loss in (0.5, 0.25, 0.375):
        history.append({"loss": loss, "nothing": float("nan")})
    html = history._repr_html_()
    assert "0.375" in html
    assert "0.25 (epoch 2)" in html
    assert "0.5 (epoch 1)" in html
    assert "<td" not in History()._repr_html_()


def test_a_sweep_shows_its_settings_best_first():
    def build(setting):
        return {"fc": Linear(1, 1), "loss": MSELoss()}, {"fc": ["loss"], "y": ["loss"]}

    data = {"fc": [[1.0], [2.0]], "y": [[0.0], [0.0]]}
    optimizer = lambda setting: Adam(lr=setting["lr"])  # noqa: E731
    result = sweep(build, data, over={"lr": [1e-9, 0.1]}, optimizer=optimizer, epochs=5, batch_size=2, progress=False)
    html = result._repr_html_()
    assert html.index(">0.1<") < html.index(">1e-09<")
    assert "Sweep(2 of 2 members ended" in html


@pytest.mark.skipif(not drawing.available(), reason="Graphviz is not installed")
def test_a_network_shows_its_diagram():
    assert NET._repr_html_().startswith("<svg")
    assert "&lt;b&gt;" in NET._repr_html_()


def test_a_network_that_cannot_be_drawn_shows_its_text(monkeypatch):
    def fail(digraph, form):
        raise drawing.DrawingError("too large")

    monkeypatch.setattr(drawing, "available", lambda: True)
    monkeypatch.setattr(drawing, "_draw", fail)
    assert NET._repr_html_() == f"<pre>{NET!r}</pre>".replace("<b>", "&lt;b&gt;")
    assert NET._repr_mimebundle_() == {"text/plain": repr(NET)}
