"""Where progress is shown: a terminal, a notebook, or a file or pipe."""

from __future__ import annotations

import html
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from graphdl.shown import visible

SHORT = 1.0
"""Training that ends within so many seconds leaves no line in a file or a pipe."""


def choose_display(total: int) -> Display:
    """The display for the standard error of this process, of so many epochs."""
    console = Console(stderr=True)
    if console.is_jupyter:
        return NotebookDisplay(total)
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalDisplay(total, console)
    return LineDisplay(total)


class Display(ABC):
    """Shows how many of `total` epochs are made.

    interval  the least time between two pictures, in seconds
    ended     whether training has ended, maybe before the last epoch
    """

    interval = 0.05
    ended = False

    def __init__(self, total: int) -> None:
        self.total = total
        self._started = self._shown = time.perf_counter()

    def start(self) -> None:
        """Begin."""
        self._started = self._shown = time.perf_counter()

    def due(self) -> bool:
        """Whether it is time for the next picture."""
        return time.perf_counter() - self._shown >= self.interval

    def show(self, done: int, before: str, after: str) -> None:
        """Show the number of epochs made, a text before it and a text after it."""
        self._shown = time.perf_counter()
        elapsed = self._shown - self._started
        speed = f"{done / elapsed:.3g} epochs/s" if elapsed > 0 else ""
        self.draw(done, visible(before), visible(after), speed)

    def stop(self) -> None:
        """End."""
        self.ended = True

    @abstractmethod
    def draw(self, done: int, before: str, after: str, speed: str) -> None:
        """Show these numbers and texts."""

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def _counted(self, done: int, before: str) -> str:
        return f"{before}{', ' if before else ''}epoch {done}/{self.total}"

    def _left(self, done: int) -> str:
        """The time that training will still take, or has taken."""
        left = 0 if self.ended or not done else self.elapsed * (self.total - done) / done
        return f"{timedelta(seconds=round(left))} left" if left else str(timedelta(seconds=round(self.elapsed)))


class _BarOverText(RichProgress):
    """A bar with a text below it, which has the whole width."""

    text = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the text."""
        yield from super().get_renderables()
        if self.text:
            yield Text(self.text)


class TerminalDisplay(Display):
    """A bar, and the losses and metrics on a separate line, so that there is room for the bar."""

    def __init__(self, total: int, console: Console) -> None:
        super().__init__(total)
        counts = TextColumn("{task.description}", markup=False), MofNCompleteColumn(), BarColumn()
        times = TextColumn("{task.fields[speed]}"), TimeRemainingColumn(elapsed_when_finished=True)
        self._bar = _BarOverText(*counts, *times, console=console)
        self._task = self._bar.add_task("epoch", total=total, speed="")

    def start(self) -> None:
        """Begin."""
        super().start()
        self._bar.start()

    def draw(self, done: int, before: str, after: str, speed: str) -> None:
        """Show these numbers and texts."""
        self._bar.text = after
        label = f"{before}, epoch" if before else "epoch"
        self._bar.update(self._task, completed=done, description=label, speed=speed)

    def stop(self) -> None:
        """End, and leave the last picture."""
        self._bar.stop()


class NotebookDisplay(Display):
    """A bar in the output of a cell, which is redrawn in place. It needs IPython alone, not ipywidgets."""

    interval = 0.2

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._handle: Any = None

    def draw(self, done: int, before: str, after: str, speed: str) -> None:
        """Show these numbers and texts."""
        from IPython.display import display

        parts = self._counted(done, before), speed, self._left(done), after
        text = "  ".join(part for part in parts if part)
        bar = f'<progress value="{done}" max="{self.total}"></progress> <code>{html.escape(text)}</code>'
        bundle = {"text/plain": text, "text/html": bar}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


class LineDisplay(Display):
    """Lines with the time, one now and then and one at the end."""

    interval = 5.0

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._last = -1

    def show(self, done: int, before: str, after: str) -> None:
        """Print a line, unless training was so short that it is not worth one."""
        if done != self._last and (self._last >= 0 or self.elapsed >= SHORT):
            super().show(done, before, after)
            self._last = done

    def draw(self, done: int, before: str, after: str, speed: str) -> None:
        """Print these numbers and texts."""
        parts = time.strftime("%H:%M:%S"), self._counted(done, before), after, speed, self._left(done)
        print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)
