import math
import sys

import pytest
import torch

from graphdl.errors import MissingPackageError, SettingError
from graphdl.plots import plot_confusion

LABELS, PREDICTED = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 0, 2, 1, 2, 1])


def test_confusion_counts(tmp_path):
    drawn = plot_confusion(tmp_path / "confusion.svg", LABELS, PREDICTED).read_text()
    assert "2 of 6 wrong (33.3%)" in drawn
    assert drawn.count("<!-- · -->") == 4


def test_classes_may_be_texts_and_whole_numbers_of_any_type(tmp_path):
    drawn = plot_confusion(tmp_path / "confusion.svg", ["a", "a", "b"], ["a", "b", "b"]).read_text()
    assert "1 of 3 wrong (33.3%)" in drawn
    plot_confusion(tmp_path / "confusion.svg", [0.0, 1.0], torch.tensor([True, False]))


@pytest.mark.parametrize(("labels", "predicted", "text"), [
    ([[0], [0, 1]], [0, 1], r"labels must be class indices, .*, not \[\[0\], \[0, 1\]\]"),
    ([0, 1], [0.5, 1.2], r"predicted must be class indices, .*, not \[0\.5, 1\.2\]"),
    ([0, 1], [math.nan, 1], "predicted must be class indices"),
    ([0, 1], [math.inf, 1], "predicted must be class indices"),
    ([None, 1], [0, 1], r"labels must be class indices, .*, not \[None, 1\]"),
    ([1j, 1], [0, 1], "labels must be class indices"),
    (["a", "b"], [0, 1], "one holds texts and one holds numbers"),
])  # fmt: skip
def test_what_are_no_classes_is_refused(labels, predicted, text):
    with pytest.raises(SettingError, match=f"^plot_confusion: .*{text}"):
        plot_confusion(None, labels, predicted)


def test_unknown_suffix(tmp_path):
    with pytest.raises(SettingError, match=r"Use \.svg, \.png or \.pdf"):
        plot_confusion(tmp_path / "confusion.gif2", LABELS, LABELS)


@pytest.mark.parametrize(("module", "extra"), [("sklearn.metrics", "sklearn"), ("matplotlib.figure", "plots")])
def test_missing_packages_are_named(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"pip install 'graphdl\[{extra}\]'"):
        plot_confusion(tmp_path / "confusion.svg", LABELS, LABELS)
