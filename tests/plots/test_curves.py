import math

import pytest
import torch

from graphdl.errors import SettingError
from graphdl.plots import plot_curves
from graphdl.plots.curves import curves_figure


def run(seed: int, epochs: int = 20) -> dict[str, list[float]]:
    noise = torch.rand(epochs, generator=torch.Generator().manual_seed(seed))
    loss = [float(2.0 ** (-k) * (1 + n)) for k, n in enumerate(noise)]
    return {"loss": loss, "validation_loss": [2 * v for v in loss], "accuracy": [1 - v / 4 for v in loss]}


RUNS = [run(seed) for seed in range(4)]


def legend(figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def band(axes, position: int = 0) -> torch.Tensor:
    """The lower and the upper end of a band, by epoch."""
    corners = torch.as_tensor(axes.collections[position].get_paths()[0].vertices)
    epochs = int(corners[:, 0].max())
    return torch.stack([torch.stack([*corners[corners[:, 0] == k, 1].aminmax()]) for k in range(1, epochs + 1)]).T


def test_curves_are_the_mean_and_bands_the_deviation_over_runs():
    figure = curves_figure({"SGD": RUNS}, ["accuracy"])
    values = torch.tensor([history["accuracy"] for history in RUNS], dtype=torch.float64)
    mean, deviation = values.mean(0), values.std(0)
    (axes,) = figure.axes
    assert torch.allclose(torch.as_tensor(axes.lines[0].get_ydata()), mean, atol=1e-12)
    low, high = band(axes)
    assert torch.allclose(high, mean + deviation, atol=1e-12)
    assert torch.allclose(low, torch.maximum(mean - deviation, values.amin(0)), atol=1e-12)


def test_one_run_has_no_band():
    assert not curves_figure({"": [RUNS[0]]}, ["accuracy"]).axes[0].collections


def test_runs_that_ended_early_or_are_not_finite_are_left_out():
    short = {"loss": [1.0, 3.0]}, {"loss": [3.0, math.nan, 5.0]}, {"loss": [math.inf]}
    (axes,) = curves_figure({"": short}).axes
    assert list(axes.lines[0].get_ydata()) == [2.0, 3.0, 5.0]


def test_the_run_that_is_wrong_is_shown():
    with pytest.raises(SettingError, match=r"^'loss' of a history must be a list of numbers, .* not \['x'\]\.$"):
        curves_figure({"": [{"loss": [1.0]}, {"loss": ["x"]}]})


def test_a_panel_for_each_name_and_the_same_epochs():
    figure = curves_figure({"SGD": RUNS, "Adam": RUNS[:2]})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    figure.draw_without_rendering()
    assert len({round(axes.get_position().height, 6) for axes in figure.axes}) == 1
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "--", "-", "--"]


def test_losses_over_decades_are_logarithmic_and_accuracies_are_not():
    figure = curves_figure({"": [{**RUNS[0], "accuracy": [0.01, 0.5, 0.9]}]})
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    assert curves_figure({"": [{"loss": [0.5, 0.4]}]}).axes[0].get_yscale() == "linear"
    assert curves_figure({"": [{"loss": [100.0, -1.0]}]}).axes[0].get_yscale() == "linear"


def test_the_legend_lists_only_what_is_there():
    assert legend(curves_figure({"SGD": RUNS, "Adam": RUNS})) == ["SGD", "Adam", "training", "validation"]
    assert legend(curves_figure({"SGD": RUNS}, ["accuracy"])) == ["SGD"]
    assert legend(curves_figure({"": RUNS[:1]})) == ["training", "validation"]
    assert legend(curves_figure({"": RUNS[:1]}, ["accuracy"])) == []
    figure = curves_figure({f"a long label of curve {k}": RUNS for k in range(8)})
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.y1 < min(axes.get_window_extent().y0 for axes in figure.axes)
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_misspelt_names(tmp_path):
    text = r"^No history has 'acuracy'\. Did you mean 'accuracy'\? They have loss, validation_loss and accuracy\.$"
    with pytest.raises(SettingError, match=text):
        plot_curves(tmp_path / "curves.svg", {"": RUNS}, ["acuracy"])


def test_it_is_written(tmp_path):
    assert plot_curves(tmp_path / "new" / "curves.png", {"SGD": RUNS}).read_bytes().startswith(b"\x89PNG")


def test_a_panel_of_accuracies_ends_at_1():
    figure = curves_figure({"": [{"accuracy": [0.5, 0.6]}, {"accuracy": [0.5, 1.0]}]})
    assert band(figure.axes[0])[1, 1] > 1.05
    assert figure.axes[0].get_ylim()[1] == pytest.approx(1.01)
    assert curves_figure({"": [{"accuracy": [0.5, 0.6]}]}).axes[0].get_ylim()[1] < 0.7


def test_epochs_are_whole_numbers_and_the_band_is_explained():
    figure = curves_figure({"SGD": [run(0, epochs=3), run(1, epochs=3)], "Adam": run(2, epochs=3)}, ["loss"])
    (axes,) = figure.axes
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert axes.get_ylabel() == "mean ± standard deviation of 1 to 2 runs"
    assert curves_figure({"": RUNS[0]}, ["loss"]).axes[0].get_ylabel() == ""


@pytest.mark.parametrize("given", [RUNS, RUNS[0], {"SGD": 3}, {"SGD": ["loss"]}])
def test_histories_of_a_wrong_form(given, tmp_path):
    with pytest.raises(SettingError, match=r"write \{'Adam': history\}\.$"):
        plot_curves(tmp_path / "curves.svg", given)
