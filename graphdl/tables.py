"""Tables, as text for terminals and as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from rich.cells import cell_len

from graphdl.shown import visible

Columns: TypeAlias = Mapping[str, Literal["left", "right"]]
"""Titles of columns, and the side to which their cells are aligned."""

GAP = " " * 3


class TextTable(str):
    """The text of a table, which a notebook shows as HTML."""

    __slots__ = ("_html",)
    _html: str

    def __new__(cls, text: str, html: str) -> Self:
        """The table with this text and this HTML."""
        made = super().__new__(cls, text)
        made._html = html
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # copies keep the HTML
        return str(self), self._html

    def _repr_html_(self) -> str:
        return self._html

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def text_table(
    columns: Columns, rows: Iterable[Sequence[str]], total: Sequence[str] = (), notes: Iterable[str] = ()
) -> TextTable:
    """A table with a row of totals, if they are given, and lines of notes below it. Its time is linear."""
    rows = [tuple(map(visible, row)) for row in (*rows, *([total] if total else []))]
    notes = list(map(visible, notes))
    cells = zip(map(visible, columns), *rows, strict=True)
    padded = [_padded(column, side) for column, side in zip(cells, columns.values(), strict=True)]
    head, *body = (GAP.join(line).rstrip() for line in zip(*padded, strict=True))
    rule = "─" * cell_len(GAP.join(column[0] for column in padded))
    return TextTable("\n".join([head, rule, *body, *notes]), html_table(columns, rows, notes))


def _padded(cells: Sequence[str], side: str) -> list[str]:
    """The cells of a column, filled up to the width of the widest one."""
    sizes = list(map(cell_len, cells))
    widest = max(sizes)
    fills = (" " * (widest - size) for size in sizes)
    return [fill + cell if side == "right" else cell + fill for cell, fill in zip(cells, fills, strict=True)]


def html_table(columns: Columns, rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table as HTML, with lines of notes below it; control and invisible characters are shown as visible ones."""
    sides = list(columns.values())
    head = _row("th", list(columns), sides)
    body = "".join(_row("td", row, sides) for row in rows)
    below = "\n".join(html.escape(visible(note)) for note in notes)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" + (f"<pre>{below}</pre>" if below else "")


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    held = (
        f'<{tag} style="text-align: {side}">{html.escape(visible(cell))}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(held)}</tr>"
