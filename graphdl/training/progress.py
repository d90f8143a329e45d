"""The progress bar of training: epochs, losses and metrics, epochs per second. It is shown on terminals only."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress:
    """A context in which `advance` shows the losses and metrics of an epoch."""

    def __init__(self, epochs: int, shown: bool) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not (shown and (console.is_terminal or console.is_jupyter)),
        )
        self._task = self._bar.add_task("", total=epochs, figures="", speed="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, figures: Mapping[str, float]) -> None:
        """Count an epoch and show its losses and metrics."""
        if self._bar.disable:
            return
        task = self._bar.tasks[0]
        elapsed = task.elapsed or 0
        speed = f"{(task.completed + 1) / elapsed:.3g} epochs/s" if elapsed else ""
        text = "  ".join(f"{name.replace('_', ' ')} {figure:.4g}" for name, figure in figures.items())
        self._bar.update(self._task, advance=1, figures=text, speed=speed)
