"""Recorded values and gradients in a diagram: small ones as numbers on a heat map, large ones as a histogram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphdl.rendering.theme import Theme

__all__ = ["Reading", "readings_table"]

TIGHT = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
BAR, HEIGHT = 4, 18
"""The width of a bar of a histogram and the height of the highest one, in points."""


@dataclass(frozen=True)
class Reading:
    """What is shown of one tensor.

    numbers  the elements as rows, of a small tensor
    bars     the counts of a histogram between the least and the greatest element, of a large tensor
    lines    statistics of a large tensor
    """

    numbers: tuple[tuple[float | int | bool, ...], ...] = ()
    bars: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()


def readings_table(value: Sequence[Reading], gradient: Sequence[Reading], theme: Theme) -> str:
    """Return the table of a node's value and gradient as HTML-like markup of Graphviz; "" if there is neither."""
    rows = [_line("value", theme.muted, reading, theme) for reading in value]
    rows += [_line("∇", theme.gradient, reading, theme) for reading in gradient]
    if not rows:
        return ""
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="0">{"".join(rows)}</TABLE>'


def _line(mark: str, colour: str, reading: Reading, theme: Theme) -> str:
    if reading.numbers:
        content = f'<TD COLSPAN="2" ALIGN="LEFT">{_numbers(reading, theme)}</TD>'
    else:
        lines = "".join(_small(line.replace("-", "−"), theme.ink) + '<BR ALIGN="LEFT"/>' for line in reading.lines)
        bars = _histogram(reading, colour, theme)
        content = f'{bars}<TD ALIGN="LEFT" COLSPAN="{1 if bars else 2}">{lines}</TD>'
    return f'<TR><TD ALIGN="RIGHT" WIDTH="28">{_small(mark, colour)}</TD>{content}</TR>'


def _small(text: str, colour: str) -> str:
    return f'<FONT COLOR="{colour}" POINT-SIZE="8">{text}</FONT>'


def _numbers(reading: Reading, theme: Theme) -> str:
    finite = [abs(x) for row in reading.numbers for x in row if abs(x) < float("inf")]
    largest = max(finite, default=0) or 1
    rows = "".join(f"<TR>{''.join(_cell(x, largest, theme) for x in row)}</TR>" for row in reading.numbers)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="2">{rows}</TABLE>'


def _cell(x: float | int | bool, largest: float, theme: Theme) -> str:
    share = min(abs(x) / largest, 1.0) if x == x else 0.0
    ground = blend(theme.card, theme.negative if x < 0 else theme.positive, 0.06 + 0.5 * share)
    text = str(x) if isinstance(x, int) else f"{x:.3g}"
    return f'<TD BGCOLOR="{ground}" ALIGN="RIGHT" WIDTH="26">{_small(text.replace("-", "−"), theme.ink)}</TD>'


def _histogram(reading: Reading, colour: str, theme: Theme) -> str:
    size = f'FIXEDSIZE="TRUE" WIDTH="{BAR * len(reading.bars)}" HEIGHT="{HEIGHT}"'
    bars = "".join(_bars(reading, colour, theme))
    return f"<TD {size}>{TIGHT}<TR>{bars}</TR></TABLE></TD>" if bars else ""


def _bars(reading: Reading, colour: str, theme: Theme) -> Iterator[str]:
    """A column for each bar: an empty cell above a filled one."""
    most = max(reading.bars, default=0)
    for count in reading.bars:
        filled = max(1, round(HEIGHT * count / most)) if count else 0
        cells = [(HEIGHT - filled, theme.card), (filled, blend(theme.card, colour, 0.75))]
        column = "".join(
            f'<TR><TD FIXEDSIZE="TRUE" WIDTH="{BAR}" HEIGHT="{height}" BGCOLOR="{ground}"></TD></TR>'
            for height, ground in cells
            if height
        )
        yield f'<TD FIXEDSIZE="TRUE" WIDTH="{BAR}" HEIGHT="{HEIGHT}">{TIGHT}{column}</TABLE></TD>'


def blend(one: str, other: str, share: float) -> str:
    """Return a colour between two.

    >>> blend("#FFFFFF", "#FF0000", 0.5)
    '#FF8080'
    """
    pairs = zip(*(bytes.fromhex(colour[1:]) for colour in (one, other)), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)
