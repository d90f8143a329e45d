"""Progress bars, which are shown on terminals only: of training, with losses, metrics and epochs per second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TerminalBar:
    """A context in which a progress bar is shown, if there is a terminal.

    total          the number of epochs that fill the bar
    before, after  the texts before and after it, in which {task.fields[name]} stands for a field
    fields         their first values
    """

    def __init__(self, shown: bool, total: int, before: str, after: Sequence[str], **fields: Any) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn(before),
            MofNCompleteColumn(),
            BarColumn(),
            *map(TextColumn, after),
            TimeRemainingColumn(),
            console=console,
            disable=not (shown and (console.is_terminal or console.is_jupyter)),
        )
        self._task = self._bar.add_task("", total=total, **fields)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class EpochProgress(TerminalBar):
    """A context in which `advance` shows the losses and metrics of the last epoch."""

    def __init__(self, epochs: int, shown: bool) -> None:
        after = ["{task.fields[figures]}", "{task.fields[speed]}"]
        super().__init__(shown, epochs, "epoch", after, figures="", speed="")

    def advance(self, figures: Mapping[str, float], epochs: int = 1) -> None:
        """Count epochs and show the losses and metrics of the last one."""
        if self._bar.disable:
            return
        task = self._bar.tasks[0]
        elapsed = task.elapsed or 0
        speed = f"{(task.completed + epochs) / elapsed:.3g} epochs/s" if elapsed else ""
        text = "  ".join(f"{name.replace('_', ' ')} {figure:.4g}" for name, figure in figures.items())
        self._bar.update(self._task, advance=epochs, figures=text, speed=speed)
