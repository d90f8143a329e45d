import io
import re

import pytest
from rich.console import Console

from graphdl.training import displays
from graphdl.training.progress import EpochProgress

FOUR = {"loss": 0.012345, "accuracy": 0.98, "validation_loss": 0.0234567, "validation_accuracy": 0.875}


def run(monkeypatch, terminal: bool, shown: bool = True, width: int = 120, figures=FOUR) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, _environ={})
    monkeypatch.setattr(displays, "Console", lambda stderr: console)
    with EpochProgress(3, shown) as bar:
        for _ in range(3):
            bar.advance(figures)
    return file.getvalue()


def test_a_terminal_sees_epochs_and_figures(monkeypatch):
    text = run(monkeypatch, terminal=True)
    for part in ("3/3", "loss 0.01235", "validation accuracy 0.875", "epochs/s"):
        assert part in text


@pytest.mark.parametrize("width", [60, 80])
def test_the_bar_keeps_its_room_beside_many_figures(monkeypatch, width):
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", run(monkeypatch, terminal=True, width=width)).splitlines()
    (bar,) = [line for line in shown if "epochs/s" in line and "3/3" in line][-1:]
    assert bar.count("━") >= 15
    assert all(len(line) <= width for line in shown)
    assert "".join(shown).count("validation accuracy 0.875") >= 1


class Clock:
    """A clock that the test moves."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(displays.time, "perf_counter", lambda: self.now)


def test_elsewhere_a_line_is_printed_now_and_then_and_at_the_end(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with EpochProgress(100, True) as bar:
        for _ in range(20):
            clock.now += 0.9
            bar.advance({"loss": 0.5, "validation_accuracy": 0.98})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4  # after 5.4, 10.8 and 16.2 seconds, and the end
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  epoch 6/100  loss 0.5  validation accuracy 0.98  1.11 epochs/s  0:01:25 left", lines[0]
    )
    assert "epoch 20/100" in lines[-1]
    assert lines[-1].endswith("0:00:18")  # it ended before the last epoch: this is how long it took


def test_the_last_line_is_printed_once(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with EpochProgress(2, True) as bar:
        for _ in range(2):
            clock.now += 6
            bar.advance({"loss": 0.5})
    assert ["epoch 1/2" in line for line in capsys.readouterr().err.splitlines()] == [True, False]


def test_a_short_training_prints_nothing_elsewhere(monkeypatch, capsys):
    assert run(monkeypatch, terminal=False) == ""
    assert run(monkeypatch, terminal=True, shown=False) == ""
    assert capsys.readouterr().err == ""
