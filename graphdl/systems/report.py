"""What an experiment reports: figures beside the published ones, and pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

__all__ = ["Report", "Result", "percent"]


@dataclass(frozen=True)
class Result:
    """One figure.

    what       what it is, such as "Adam, test accuracy in %"
    published  the published number, or a text; None if nothing was published
    obtained   the numbers, one for each run
    """

    what: str
    published: float | str | None
    obtained: Sequence[float]

    @property
    def mean(self) -> float:
        """The mean of the numbers."""
        return fmean(self.obtained)

    def row(self) -> str:
        """A row of a table in Markdown."""
        spread = f" ± {_number(stdev(self.obtained))}" if len(self.obtained) > 1 else ""
        published, difference = self.published, ""
        if isinstance(published, (int, float)):
            difference = f"{self.mean - published:+.3g}"
            published = f"{published:g}"
        return f"| {self.what} | {published or ''} | {_number(self.mean)}{spread} | {difference} |"


@dataclass(frozen=True)
class Report:
    """What an experiment did and what came out.

    name, title  such as "A1" and "Four optimizers on the disc"
    settings     network, data and training
    results      the figures
    note         what differs from the published experiment or its figures, and why
    pictures     files, each with its caption
    """

    name: str
    title: str
    settings: str
    results: Sequence[Result]
    note: str = ""
    pictures: Sequence[tuple[Path, str]] = ()

    def result(self, what: str) -> Result:
        """The figure of that name."""
        return next(result for result in self.results if result.what == what)

    def markdown(self, folder: Path, seconds: float) -> str:
        """A section in Markdown, for a page in that folder."""
        table = ["|  | published | obtained | difference |", "| --- | ---: | ---: | ---: |"]
        parts = [
            f"## {self.name}: {self.title}",
            self.settings,
            "\n".join([*table, *(result.row() for result in self.results)]),
            f"Time: {seconds:.3g} s.",
            self.note,
            *(f"![{caption}]({Path(os.path.relpath(path, folder)).as_posix()})" for path, caption in self.pictures),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def percent(fractions: Sequence[float]) -> list[float]:
    """Fractions as percentages."""
    return [100 * fraction for fraction in fractions]


def _number(value: float) -> str:
    """A number with three digits, or all digits before the point."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) < 1e6 else f"{value:.3g}"
