from pathlib import Path

import pytest

from graphdl.systems import Report, Result


def test_a_row_compares_with_what_was_published():
    assert Result("accuracy in %", 97.0, [97.0, 98.0, 96.5]).row() == "| accuracy in % | 97 | 97.2 ± 0.8 | +0.2 |"
    assert Result("steps", 7, [1234.0]).row() == "| steps | 7 | 1234 | +1227 |"
    assert Result("error in %", 0.0, [0.0, 0.5]).row() == "| error in % | 0 | 0.250 ± 0.354 | +0.250 |"


def test_a_text_or_nothing_was_published():
    assert Result("accuracy", "90 to 100", [95.0, 97.0]).row() == "| accuracy | 90 to 100 | 96.0 ± 1.4 |  |"
    assert Result("loss", None, [0.01234]).row() == "| loss |  | 0.0123 |  |"
    assert Result("difference", None, [3.5e-8, 3.5e-8]).shown == "3.50e-08 ± 0.00e+00"
    assert Result("loss", None, [0.01234]).text() == "loss: 0.0123"
    assert Result("accuracy", 96.2, [96.0]).text() == "accuracy: 96.0 (published 96.2)"


@pytest.mark.parametrize("obtained", [[0.0, 0.0], [float("nan"), 1.0], [float("nan")]])
def test_figures_without_digits(obtained):
    assert Result("error", 0.5, obtained).row().startswith("| error | 0.5 | ")


def test_a_section():
    report = Report("A1", "Four", "word " * 60, [Result("a", 1, [2.0])], "A note.", [(Path("/x/img/a1.png"), "Curves")])
    section = report.markdown(Path("/x"), 12.34)
    assert section.startswith("## A1: Four\n\nword")
    assert max(map(len, section.splitlines())) <= 120
    for text in ("| a | 1 | 2.00 | +1.00 |", "Time: 12.3 s.", "A note.", "![Curves](img/a1.png)"):
        assert text in section
    assert report.result("a").mean == 2
