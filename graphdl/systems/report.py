"""What an experiment reports: figures beside the published ones, and pictures."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

__all__ = ["Report", "Result"]

SCIENTIFIC = 7
"""With so many decimals, a number is written with a power of ten."""


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
        return float(numpy.mean(self.obtained))

    @property
    def shown(self) -> str:
        """Mean ± standard deviation."""
        digits = f".{self._decimals}f" if self._decimals < SCIENTIFIC else ".2e"
        spread = f" ± {numpy.std(self.obtained, ddof=1):{digits}}" if len(self.obtained) > 1 else ""
        return f"{self.mean:{digits}}{spread}"

    def text(self) -> str:
        """One line: the figure, and what was published."""
        return f"{self.what}: {self.shown}" + (f" (published {self._published})" if self._published else "")

    def row(self) -> str:
        """A row of a table in Markdown."""
        numeric = isinstance(self.published, (int, float))
        difference = f"{self.mean - self.published:+.{self._decimals}f}" if numeric else ""  # type: ignore[operator]
        return f"| {self.what} | {self._published} | {self.shown} | {difference} |"

    @property
    def _published(self) -> str:
        return f"{self.published:g}" if isinstance(self.published, (int, float)) else self.published or ""

    @property
    def _decimals(self) -> int:
        """Decimals for three digits of the mean, or of the largest number if the mean is 0."""
        size = abs(self.mean) or max(map(abs, self.obtained))
        return max(0, 2 - math.floor(math.log10(size))) if math.isfinite(size) and size > 0 else 1


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
            _wrapped(self.settings),
            "\n".join([*table, *(result.row() for result in self.results)]),
            f"Time: {seconds:.3g} s.",
            _wrapped(self.note),
            *(f"![{caption}]({Path(os.path.relpath(path, folder)).as_posix()})" for path, caption in self.pictures),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
