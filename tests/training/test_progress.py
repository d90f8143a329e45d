import io

from rich.console import Console

from graphdl.training import progress
from graphdl.training.progress import EpochProgress


def run(monkeypatch, terminal: bool, shown: bool = True) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    with EpochProgress(3, shown) as bar:
        for k in range(3):
            bar.advance({"loss": 0.5 / (k + 1), "validation_accuracy": 0.875})
    return file.getvalue()


def test_a_terminal_sees_epochs_and_figures(monkeypatch):
    text = run(monkeypatch, terminal=True)
    for part in ("3/3", "loss 0.1667", "validation accuracy 0.875", "epochs/s"):
        assert part in text


def test_it_is_quiet_elsewhere(monkeypatch):
    assert run(monkeypatch, terminal=False) == ""
    assert run(monkeypatch, terminal=True, shown=False) == ""
