import sys

import pytest
import torch

from graphdl.data import disc
from graphdl.errors import MissingPackageError, SettingError, ShapeError
from graphdl.plots import plot_confusion, plot_points

POINTS, LABELS = disc(60, seed=0)


def right_half(points: torch.Tensor) -> torch.Tensor:
    return (points[:, 0] > 0.5).long()


def classify_disc(points: torch.Tensor) -> torch.Tensor:
    return ((points - 0.5).square().sum(1) < 1 / (2 * torch.pi)).long()


def test_points_are_counted_by_panel(tmp_path):
    data = {"training": (POINTS, LABELS), "test": (POINTS, right_half(POINTS))}
    drawn = plot_points(tmp_path / "new" / "points.svg", data, right_half).read_text()
    wrong = int((right_half(POINTS) != LABELS).sum())
    for text in (f"training: {wrong} of 60 wrong ({wrong / 60:.1%})", "test: 0 of 60 wrong (0.0%)", "class 1"):
        assert f"<!-- {text} -->" in drawn


def test_misclassified_points_are_marked_in_black(tmp_path):
    def black_marks(classify) -> int:
        drawn = plot_points(tmp_path / "points.svg", {"test": (POINTS, LABELS)}, classify).read_text()
        collection = drawn.split("PathCollection_3")[1].split("</g>\n   </g>")[0]
        return collection.count("<use")

    assert black_marks(lambda x: 1 - classify_disc(x)) == 60
    assert black_marks(right_half) == int((right_half(POINTS) != LABELS).sum())


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats(tmp_path, suffix, magic):
    path = plot_points(tmp_path / f"points.{suffix}", {"test": (POINTS, LABELS)}, right_half)
    assert path.read_bytes().startswith(magic)


def test_points_out_of_the_plane_are_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"'test' has the shape \(3, 4\)"):
        plot_points(tmp_path / "points.svg", {"test": (torch.ones(3, 4), torch.zeros(3).long())}, right_half)


def test_confusion_counts(tmp_path):
    labels, predicted = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 0, 2, 1, 2, 1])
    drawn = plot_confusion(tmp_path / "confusion.svg", labels, predicted).read_text()
    assert "2 of 6 wrong (33.3%)" in drawn
    assert drawn.count("<!-- · -->") == 4


def test_unknown_suffix(tmp_path):
    with pytest.raises(SettingError, match=r"Use \.svg, \.png or \.pdf"):
        plot_confusion(tmp_path / "confusion.gif2", LABELS, LABELS)


@pytest.mark.parametrize(("module", "extra"), [("sklearn.metrics", "sklearn"), ("matplotlib.figure", "plots")])
def test_missing_packages_are_named(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"pip install 'graphdl\[{extra}\]'"):
        plot_confusion(tmp_path / "confusion.svg", LABELS, LABELS)
