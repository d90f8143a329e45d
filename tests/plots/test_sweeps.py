"""Pictures of a sweep: heat map, parallel coordinates, lines."""

import itertools
import math

import pytest
import torch

from graphdl.errors import SettingError
from graphdl.plots import plot_heat_map, plot_lines, plot_parallel
from graphdl.plots.heat_map import heat_map_figure
from graphdl.plots.lines import lines_figure
from graphdl.plots.parallel import parallel_figure
from graphdl.plots.table import spaced_logarithmically, values

LRS, EPSILONS, ACTS = (1e-1, 1e-3, 1e-2), (1e-8, 1e-6), ("relu", "tanh")


def figure_of(lr: float, eps: float, act: str, seed: int) -> float:
    return 0.9 + 0.02 * math.log10(lr) + 0.001 * seed + (0.01 if act == "tanh" else 0) + 1e3 * eps


ROWS = [
    {"lr": lr, "eps": eps, "act": act, "seed": seed, "accuracy": figure_of(lr, eps, act, seed), "loss": lr * (seed + 1)}
    for lr, eps, act, seed in itertools.product(LRS, EPSILONS, ACTS, range(3))
]
FAILED = [{**row, "accuracy": value} for row, value in zip(ROWS[:3], (math.nan, None, math.inf), strict=True)]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


class TestHeatMap:
    def test_cells_are_means(self):
        axes = heat_map_figure(ROWS, "lr", "eps", "accuracy").axes[0]
        cells = torch.as_tensor(axes.images[0].get_array().data)
        assert cells.shape == (2, 3)
        for (row, eps), (column, lr) in itertools.product(enumerate(sorted(EPSILONS)), enumerate(sorted(LRS))):
            chosen = [r["accuracy"] for r in ROWS if (r["lr"], r["eps"]) == (lr, eps)]
            assert float(cells[row, column]) == pytest.approx(sum(chosen) / len(chosen), abs=1e-12)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0.001", "0.01", "0.1"]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["1e-08", "1e-06"]
        assert len(texts(axes)) == 6

    def test_rows_that_failed_are_left_out(self):
        axes = heat_map_figure(ROWS[3:] + FAILED, "lr", "eps", "accuracy").axes[0]
        expected = [r["accuracy"] for r in ROWS[3:] if (r["lr"], r["eps"]) == (0.1, 1e-8)]
        assert float(axes.images[0].get_array()[0, 2]) == pytest.approx(sum(expected) / 3, abs=1e-12)
        bare = heat_map_figure([r for r in ROWS if r["lr"] < 0.1 or r["eps"] > 1e-7], "lr", "eps", "accuracy").axes[0]
        assert len(texts(bare)) == 5

    def test_panels_share_their_colours(self):
        figure = heat_map_figure(ROWS, "lr", "eps", "loss", panels=["act", "seed"])
        *panels, bar = figure.axes
        assert [axes.get_title() for axes in panels][:2] == ["act relu, seed 0", "act relu, seed 1"]
        assert len(panels) == 6
        assert len({id(axes.images[0].norm) for axes in panels}) == 1
        assert type(panels[0].images[0].norm).__name__ == "LogNorm"
        assert bar.get_ylabel() == "loss"
        figure.draw_without_rendering()
        assert len({round(axes.get_position().height, 6) for axes in panels}) == 1


class TestParallel:
    def test_a_line_for_each_row_and_the_best_one_twice(self):
        axes = parallel_figure(ROWS, ["lr", "eps", "act"], "accuracy").axes[0]
        lines = [line for line in axes.lines if len(line.get_ydata()) == 4]
        assert len(lines) == len(ROWS) + 2
        best = max(ROWS, key=lambda row: row["accuracy"])
        heights = list(lines[-1].get_ydata())
        assert heights[3] == pytest.approx(1)
        assert heights[:3] == pytest.approx([1, float(best["eps"] == 1e-6), float(best["act"] == "tanh")], abs=0.05)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["lr", "eps", "act", "accuracy"]
        assert axes.get_title() == "accuracy"

    def test_settings_spaced_logarithmically(self):
        axes = parallel_figure(ROWS, ["lr"], "accuracy").axes[0]
        heights = torch.tensor(
            [line.get_ydata()[0] for line in axes.lines if line.get_xdata()[-1] == 1 and len(line.get_xdata()) == 2][
                :-3
            ]
        )
        assert {round(float(height) * 2) / 2 for height in heights} == {0.0, 0.5, 1.0}

    def test_the_smallest_loss_is_the_best(self):
        lines = [
            line for line in parallel_figure(ROWS, ["lr", "eps"], "loss").axes[0].lines if len(line.get_ydata()) == 3
        ]
        assert lines[-1].get_ydata()[2] == pytest.approx(0)

    def test_rows_that_failed_are_counted(self):
        title = parallel_figure(ROWS[3:] + FAILED, ["lr", "eps"], "accuracy").axes[0].get_title()
        assert title == f"{len(ROWS) - 3} of {len(ROWS)} rows have a finite accuracy"
        with pytest.raises(SettingError, match=r"^No row has a finite 'accuracy': there is nothing to draw\.$"):
            parallel_figure(FAILED, ["lr"], "accuracy")


class TestLines:
    def test_means_against_a_setting(self):
        figure = lines_figure(ROWS, "lr", "accuracy", by="act")
        (axes,) = figure.axes
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["act relu", "act tanh"]
        assert axes.get_xscale() == "log"
        assert axes.get_yscale() == "linear"
        for line, act in zip(axes.lines, ACTS, strict=True):
            assert list(line.get_xdata()) == sorted(LRS)
            for lr, mean in zip(line.get_xdata(), line.get_ydata(), strict=True):
                chosen = [row["accuracy"] for row in ROWS if (row["lr"], row["act"]) == (lr, act)]
                assert mean == pytest.approx(sum(chosen) / len(chosen), abs=1e-12)

    def test_failed_rows_and_one_curve(self):
        figure = lines_figure(ROWS[3:] + FAILED, "lr", "accuracy")
        assert not figure.legends
        assert len(figure.axes[0].lines[0].get_ydata()) == 3
        assert all(map(math.isfinite, figure.axes[0].lines[0].get_ydata()))

    def test_a_setting_that_is_no_number(self):
        with pytest.raises(
            SettingError, match=r"^'act' has the values 'relu' and 'tanh': give a setting of numbers\.$"
        ):
            lines_figure(ROWS, "act", "accuracy")


@pytest.mark.parametrize(
    "plot",
    [
        lambda path, rows: plot_heat_map(path, rows, "lr", "eps", "acuracy"),
        lambda path, rows: plot_parallel(path, rows, ["lr"], "acuracy"),
        lambda path, rows: plot_lines(path, rows, "lr", "acuracy"),
    ],
)
def test_misspelt_names_and_no_rows(plot, tmp_path):
    with pytest.raises(SettingError, match=r"^Row 0 has no 'acuracy'\. Did you mean 'accuracy'\? It has lr, eps"):
        plot(tmp_path / "sweep.svg", ROWS)
    with pytest.raises(SettingError, match=r"^There are no rows"):
        plot(tmp_path / "sweep.svg", [])


def test_they_are_written(tmp_path):
    for path in (
        plot_heat_map(tmp_path / "a.svg", ROWS, "lr", "eps", "accuracy"),
        plot_parallel(tmp_path / "b.svg", ROWS, ["lr", "eps", "act"], "accuracy"),
        plot_lines(tmp_path / "c.svg", ROWS, "lr", "accuracy"),
    ):
        assert "<!-- accuracy -->" in path.read_text()


@pytest.mark.parametrize(
    ("settings", "logarithmic"),
    [
        ((1, 2, 3), False),
        ((1e-3, 1e-2, 1e-1), True),
        ((0, 1, 10), False),
        ((0.1, 10), True),
        ((8, 9), False),
        ((5,), False),
    ],
)
def test_spacing(settings, logarithmic):
    assert spaced_logarithmically(settings) == logarithmic


def test_values_are_sorted_if_they_are_numbers():
    assert values([{"a": 3}, {"a": 1}, {"a": 3}], "a") == [1, 3]
    assert values([{"a": (25, 25)}, {"a": "b"}, {"a": (25, 25)}], "a") == [(25, 25), "b"]


def test_lines_pass_through_their_ticks():
    axes = parallel_figure(ROWS, ["lr", "eps"], "accuracy").axes[0]
    heights = {round(y, 9) for line in axes.lines if len(line.get_ydata()) == 3 for y in line.get_ydata()[:2]}
    assert heights == {0.0, 0.5, 1.0}


def test_an_outlier_does_not_take_all_colours():
    rows = [{"lr": k, "accuracy": 0.9 + 0.001 * k} for k in range(10)]
    usual = parallel_figure(rows, ["lr"], "accuracy").axes[0]
    axes = parallel_figure([*rows, {"lr": 3, "accuracy": 0.1}], ["lr"], "accuracy").axes[0]
    assert usual.get_title() == "accuracy"
    assert axes.get_title() == "accuracy, colours from 0.9 to 0.909"
    drawn = {line.get_color() for line in axes.lines if len(line.get_ydata()) == 2}
    assert {line.get_color() for line in usual.lines if len(line.get_ydata()) == 2} <= drawn


def test_the_vertical_axis_says_what_the_band_is():
    assert lines_figure(ROWS, "lr", "accuracy", by="act").axes[0].get_ylabel() == "mean ± standard deviation of 6 runs"
    assert lines_figure(ROWS[3:], "lr", "accuracy").axes[0].get_ylabel() == "mean ± standard deviation of 9 to 12 runs"
    assert lines_figure(ROWS[::12], "lr", "accuracy").axes[0].get_ylabel() == ""


@pytest.mark.parametrize("plot", [
    lambda path: plot_lines(path, object(), "lr", "accuracy"),
    lambda path: plot_parallel(path, "rows", ["lr"], "accuracy"),
    lambda path: plot_heat_map(path, [1], "lr", "eps", "accuracy"),
])  # fmt: skip
def test_rows_of_a_wrong_form(plot, tmp_path):
    with pytest.raises(SettingError, match=r"give result\.table\. Of a DataFrame, give"):
        plot(tmp_path / "sweep.svg")


def test_names_and_suffixes_of_a_wrong_form(tmp_path):
    with pytest.raises(SettingError, match=r"^settings must be a list of names, not 'lr': write \['lr'\]\.$"):
        plot_parallel(tmp_path / "sweep.svg", ROWS, "lr", "accuracy")
    with pytest.raises(SettingError, match=r"^panels must be a list of names"):
        plot_heat_map(tmp_path / "sweep.svg", ROWS, "lr", "eps", "accuracy", "act")
    for name, message in (("x", "it has no suffix"), ("x.jpg", r"the suffix '\.jpg' is not known")):
        with pytest.raises(SettingError, match=rf"cannot be drawn: {message}\. Use \.svg, \.png or \.pdf\.$"):
            plot_lines(tmp_path / name, ROWS, "lr", "accuracy")
        assert not (tmp_path / name).exists()
