import sys

import pytest

from graphdl.errors import MissingPackageError, SettingError
from graphdl.training import History


def history() -> History:
    history = History()
    for k in range(1, 4):
        history.append({"loss": 1 / k, "validation_loss": 2 / k, "accuracy": 1 - 1 / k})
    return history


def test_it_holds_lists_by_name():
    assert history()["loss"] == [1.0, 0.5, 1 / 3]
    assert list(history()) == ["loss", "validation_loss", "accuracy"]
    assert history().epochs == 3
    assert history().last["validation_loss"] == pytest.approx(2 / 3)
    assert repr(history()).startswith("History(3 epochs, last: loss 0.3333")
    assert repr(History()) == "History(0 epochs)"


def test_a_misspelt_name_is_told():
    with pytest.raises(
        SettingError, match=r"no 'los'\. Did you mean 'loss'\? It has loss, validation_loss and accuracy"
    ):
        history()["los"]
    assert "los" not in history()


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plot_writes_a_picture(tmp_path, suffix, magic):
    path = history().plot(tmp_path / "new" / f"curves.{suffix}")
    assert path.read_bytes().startswith(magic)


def test_plot_shows_every_figure(tmp_path):
    text = history().plot(tmp_path / "curves.svg").read_text()
    for label in ("loss", "training", "validation", "accuracy", "epoch"):
        assert f"<!-- {label} -->" in text


def test_plot_refuses_an_unknown_suffix(tmp_path):
    with pytest.raises(SettingError, match=r"curves\.xyz cannot be drawn"):
        history().plot(tmp_path / "curves.xyz")


def test_plot_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'graphdl\[plots\]'"):
        history().plot(tmp_path / "curves.svg")
