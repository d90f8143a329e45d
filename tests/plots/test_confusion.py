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


def test_unknown_suffix(tmp_path):
    with pytest.raises(SettingError, match=r"Use \.svg, \.png or \.pdf"):
        plot_confusion(tmp_path / "confusion.gif2", LABELS, LABELS)


@pytest.mark.parametrize(("module", "extra"), [("sklearn.metrics", "sklearn"), ("matplotlib.figure", "plots")])
def test_missing_packages_are_named(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"pip install 'graphdl\[{extra}\]'"):
        plot_confusion(tmp_path / "confusion.svg", LABELS, LABELS)
