"""Tables, as text for terminals and as HTML for notebooks."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Columns: TypeAlias = Mapping[str, Literal["left", "right"]]
"""Titles of columns, and the side to which their cells are aligned."""


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
    """A table with a row of totals, if they are given, and lines of notes below it."""
    rows, notes = list(rows), list(notes)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, side in columns.items():
        table.add_column(column, justify=side, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    if total:
        table.add_section()
        table.add_row(*map(Text, total))
    file = io.StringIO()
    console = Console(file=file, width=10_000, color_system=None, legacy_windows=False, force_jupyter=False)
    console.print(table)
    console.print("\n".join(notes), highlight=False, markup=False)
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines() if line.strip())
    return TextTable(text, html_table(columns, [*rows, *([total] if total else [])], notes))


def html_table(columns: Columns, rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table as HTML, with lines of notes below it."""
    sides = list(columns.values())
    head = _row("th", list(columns), sides)
    body = "".join(_row("td", row, sides) for row in rows)
    below = "\n".join(map(html.escape, notes))
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" + (f"<pre>{below}</pre>" if below else "")


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    held = (
        f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(held)}</tr>"
