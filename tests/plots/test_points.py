import pytest
import torch

from graphdl.data import disc, line
from graphdl.errors import SettingError, ShapeError
from graphdl.plots import plot_points
from graphdl.plots.points import points_figure

POINTS, LABELS = disc(60, seed=0)


def right_half(points: torch.Tensor) -> torch.Tensor:
    return (points[:, 0] > 0.5).long()


def classify_disc(points: torch.Tensor) -> torch.Tensor:
    return ((points - 0.5).square().sum(1) < 1 / (2 * torch.pi)).long()


def probability(points: torch.Tensor) -> torch.Tensor:
    return (4 * (points[:, 0] - 0.5)).sigmoid()


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_points_are_counted_by_panel(tmp_path):
    data = {"training": (POINTS, LABELS), "test": (POINTS, right_half(POINTS))}
    drawn = plot_points(tmp_path / "new" / "points.svg", data, right_half).read_text()
    wrong = int((right_half(POINTS) != LABELS).sum())
    for text in (f"training: {wrong} of 60 wrong ({wrong / 60:.1%})", "test: 0 of 60 wrong (0.0%)", "class 1"):
        assert f"<!-- {text} -->" in drawn


@pytest.mark.parametrize("classify", [lambda x: 1 - classify_disc(x), right_half, probability])
def test_misclassified_points_are_marked_in_black(classify):
    answers = classify(POINTS)
    wrong = (answers if answers.dtype == torch.long else (answers > 0.5).long()) != LABELS
    figure = points_figure({"test": (POINTS, LABELS)}, classify)
    (crosses,) = [c for c in panels(figure)[0].collections if tuple(c.get_edgecolor()[:1].ravel()) == (0, 0, 0, 1)]
    assert torch.allclose(torch.as_tensor(crosses.get_offsets()).float(), POINTS[wrong])


def test_panels_have_the_same_axes_and_size():
    data = {"training": line(100, seed=0), "test": line(20, seed=1), "more": (3 * POINTS, LABELS)}
    figure = points_figure(data, right_half)
    figure.draw_without_rendering()
    assert len({axes.get_xlim() for axes in figure.axes}) == len({axes.get_ylim() for axes in figure.axes}) == 1
    assert len({round(axes.get_position().height, 6) for axes in figure.axes}) == 1
    low, high = figure.axes[0].get_xlim()
    assert low < min(float(points[:, 0].min()) for points, _ in data.values())
    assert high > max(float(points[:, 0].max()) for points, _ in data.values())


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (7, [3, 3, 1])])
def test_at_most_three_panels_a_row(count, rows):
    figure = points_figure({str(k): (POINTS, LABELS) for k in range(count)}, right_half)
    figure.draw_without_rendering()
    heights = [round(axes.get_position().y0, 3) for axes in figure.axes]
    assert [heights.count(height) for height in dict.fromkeys(heights)] == rows


def test_the_legend_lists_what_is_there_and_covers_no_points():
    figure = points_figure({"test": (POINTS, LABELS)}, right_half)
    assert legend(figure) == ["class 0", "class 1", "misclassified"]
    assert legend(points_figure({"test": (POINTS, LABELS)}, classify_disc)) == ["class 0", "class 1"]
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().y1 < figure.axes[0].get_window_extent().y0
    assert figure.axes[0].get_legend() is None


def test_titles_are_on_one_line_and_fit():
    figure = points_figure(
        {"a title\nof two lines and of very many words, one after the other": (POINTS, LABELS)}, right_half
    )
    figure.draw_without_rendering()
    title = figure.axes[0].title
    assert "\n" not in title.get_text()
    assert title.get_window_extent().width < figure.bbox.width


def test_probabilities_shade_the_plane():
    figure = points_figure({"test": (POINTS, LABELS)}, probability)
    assert figure.axes[-1].get_ylabel() == "probability of class 1"
    row = torch.as_tensor(figure.axes[0].images[0].get_array().data)[120]
    left, middle, right = row[0], row[120], row[-1]
    assert left[2] > left[0]  # blue
    assert right[0] > right[2]  # red
    assert middle.min() > max(left.min(), right.min())  # white where neither is probable
    hard = points_figure({"test": (POINTS, LABELS)}, right_half)
    assert len(hard.axes) == 1
    assert len(torch.as_tensor(hard.axes[0].images[0].get_array().data).view(-1, 3).unique(dim=0)) == 2


def test_the_boundary_is_where_two_classes_are_equally_probable():
    def boundary(classify):
        (contour,) = [
            c for c in points_figure({"": (POINTS, LABELS)}, classify).axes[0].collections if hasattr(c, "levels")
        ]
        return torch.as_tensor(contour.get_paths()[0].vertices)[:, 0]

    assert torch.allclose(boundary(probability), torch.tensor(0.5).double(), atol=1e-3)
    assert torch.allclose(boundary(right_half), torch.tensor(0.5).double(), atol=5e-3)
    shifted = boundary(lambda points: torch.stack([points[:, 0] > 0.25, points[:, 0] <= 0.25], 1).float())
    assert torch.allclose(shifted, torch.tensor(0.25).double(), atol=5e-3)


def test_probabilities_of_one_column_are_those_of_class_1():
    figures = [
        points_figure({"": (POINTS, LABELS)}, answer) for answer in (probability, lambda x: probability(x)[:, None])
    ]
    first, second = (torch.as_tensor(figure.axes[0].images[0].get_array().data) for figure in figures)
    assert torch.equal(first, second)


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats(tmp_path, suffix, magic):
    path = plot_points(tmp_path / f"points.{suffix}", {"test": (POINTS, LABELS)}, right_half)
    assert path.read_bytes().startswith(magic)


def test_points_out_of_the_plane_are_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"'test' has the shape \(3, 4\)"):
        plot_points(tmp_path / "points.svg", {"test": (torch.ones(3, 4), torch.zeros(3).long())}, right_half)


def test_answers_that_are_neither_classes_nor_probabilities():
    with pytest.raises(SettingError, match=r"numbers from -?[\d.]+ to 4, which are not probabilities: return class"):
        points_figure({"test": (POINTS, LABELS)}, lambda x: (2 * x).clamp(max=2.0) * 2)
    with pytest.raises(ShapeError, match=r"^classify returned the shape \(57600, 2\) for 57600 points"):
        points_figure({"test": (POINTS, LABELS)}, lambda x: x.long())


def test_nothing_to_draw():
    with pytest.raises((SettingError, ShapeError)):
        points_figure({}, right_half)
