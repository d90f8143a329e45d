"""A notebook, run from its first cell to its last: what the cells show."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from graphdl.rendering import available

CELLS = [
    """
import sys, time
import torch
from graphdl import *
from graphdl.optim import Adam
net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
x, y = torch.eye(2), torch.ones(2, 1)
training = dict(optimizer=Adam(), epochs=3, batch_size=2, callbacks=[lambda net, history: time.sleep(0.25)])
net
""",
    "net.summary()",
    'net.cost({"x": (5, 2), "y": (5, 1)})',
    "history = fit(net, x, y, **training)",
    "history",
    "history.plot()",
    """
sys.modules["ipywidgets"] = None
history = fit(net, x, y, **training)
""",
    "fit(net, x, y, progress=False, **training);",
    "sys.stderr.write(''); len(net.summary())",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of each cell."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        patch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        NotebookClient(book, timeout=120, kernel_name="python3").execute()
    return [cell.outputs for cell in book.cells]


def only(outputs):
    (output,) = outputs
    return output["data"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_cells_show_diagram_tables_progress_and_pictures(outputs):
    net, summary, cost, fitted, history, plotted, without_widgets, silent, length = outputs
    assert "Network(2 operators" in only(net)["text/plain"]
    if available():
        assert "<svg" in only(net)["text/html"]
    assert only(summary)["text/html"].startswith("<table>")
    assert "Linear 2 → 1" in only(summary)["text/plain"]
    assert "peak of a training step" in only(cost)["text/html"]
    for progress in (fitted, without_widgets):
        assert "epoch 3/3" in only(progress)["text/plain"]
        assert '<progress value="3" max="3">' in only(progress)["text/html"]
    assert "loss" in only(history)["text/html"]
    assert only(plotted)["image/png"].startswith("iVBOR")
    assert silent == []
    assert int(only(length)["text/plain"]) > 100
