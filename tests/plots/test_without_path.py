"""Every plot writes a file where it is given a path, and otherwise returns the figure, which notebooks show."""

import inspect
from pathlib import Path

import pytest
import torch

from graphdl import plots
from graphdl.training import History

ROWS = [{"lr": lr, "eps": eps, "accuracy": lr * eps} for lr in (0.1, 0.2) for eps in (1, 2)]
LABELS = torch.tensor([0, 1, 1])
HISTORY = History()
HISTORY.append({"loss": 1.0})
GIVEN = {
    "plot_confusion": (LABELS, LABELS),
    "plot_curves": ({"Adam": HISTORY},),
    "plot_heat_map": (ROWS, "lr", "eps", "accuracy"),
    "plot_images": (torch.rand(2, 4, 4),),
    "plot_lines": (ROWS, "lr", "accuracy"),
    "plot_parallel": (ROWS, ["lr", "eps"], "accuracy"),
    "plot_points": ({"test": (torch.rand(3, 2), LABELS)}, lambda points: (points[:, 0] > 0.5).long()),
}


@pytest.mark.parametrize("name", [name for name in plots.__all__ if name.startswith("plot_")])
def test_a_plot_without_a_path_is_a_figure_that_shows_itself(name, tmp_path):
    draw, given = getattr(plots, name), GIVEN[name]
    for figure in (draw(*given), draw(None, *given)):
        assert type(figure).__mro__[1].__name__ == "Figure"
        assert figure._repr_png_().startswith(b"\x89PNG")
    path = tmp_path / "a.png"
    assert draw(path, *given) == draw(*given, path=path) == draw(str(path), *given) == path
    assert path.exists()
    assert next(iter(inspect.signature(draw).parameters)) == "path"


def test_the_guide_names_every_plot():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    section = guide[guide.index("\n## Plots") :]
    for name in plots.__all__:
        if name.startswith("plot_"):
            assert f"`{name}" in section, name


def test_a_history_and_a_sweep_plot_without_a_path():
    assert HISTORY.plot()._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(TypeError):
        HISTORY.plot(names=["loss"])
