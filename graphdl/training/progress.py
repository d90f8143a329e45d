"""How far training is: a bar on a terminal and in a notebook, lines with the time elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from graphdl.shown import visible
from graphdl.training.displays import choose_display


class Progress:
    """A context in which `advance` shows how many of `total` epochs are made. `shown` False shows nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        self._display = choose_display(total) if shown else None
        self._done = 0
        self._texts: Callable[[], tuple[str, str]] | None = None

    def __enter__(self) -> Self:
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.ended = True
            if self._texts is not None:
                self._display.show(self._done, *self._texts())
            self._display.stop()

    def _count(self, epochs: int, texts: Callable[[], tuple[str, str]]) -> None:
        """Count epochs; `texts` returns what is shown before the count and after it, and is called if it is time."""
        if self._display is None:
            return
        self._done += epochs
        self._texts = texts
        if self._display.due():
            self._display.show(self._done, *texts())


class EpochProgress(Progress):
    """A context in which `advance` shows the losses and metrics of the last epoch."""

    def advance(self, figures: Mapping[str, float], epochs: int = 1) -> None:
        """Count epochs and show the losses and metrics of the last one."""
        self._count(epochs, lambda: ("", described_figures(figures)))


def described_figures(figures: Mapping[str, float]) -> str:
    """Losses and metrics in a line.

    >>> described_figures({"loss": 0.123456, "validation_accuracy": 0.98})
    'loss 0.1235  validation accuracy 0.98'
    """
    return "  ".join(f"{visible(name).replace('_', ' ')} {figure:.4g}" for name, figure in figures.items())
