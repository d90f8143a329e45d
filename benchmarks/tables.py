"""Tables as text for a terminal and as Markdown, from the same cells."""

from __future__ import annotations

from benchmarks.results import Measurement, Table

NONE = "–"


def number(x: float) -> str:
    """Three significant digits."""
    if abs(x) >= 100:
        return f"{x:,.0f}"
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}" if abs(x) >= 1 else f"{x:.2g}"


def cells(table: Table) -> list[list[str]]:
    """A header and rows: a row a contestant where there is one group, else a row a group."""
    return _one_group(table) if len(table.groups) == 1 else _many_groups(table)


def _one_group(table: Table) -> list[list[str]]:
    rows = [[table.groups[0], f"median, {table.unit}", "min", "max", "ratio"]]
    for m in table.measurements:
        spread = [number(m.median), number(min(m.figures)), number(max(m.figures))]
        rows.append([m.contestant, *spread, _ratio(table, m)])
    return rows


def _many_groups(table: Table) -> list[list[str]]:
    rows = [[table.unit, *table.contestants]]
    for group in table.groups:
        found = [table.find(group, contestant) for contestant in table.contestants]
        rows.append([group, *(_cell(table, m) if m else NONE for m in found)])
    return rows


def _cell(table: Table, m: Measurement) -> str:
    """Median, spread and ratio, as far as there are any."""
    text = number(m.median)
    if len(m.figures) > 1:
        text += f" ({number(min(m.figures))}–{number(max(m.figures))})"
    return text if m.contestant == table.reference else f"{text}, {_ratio(table, m)}"


def _ratio(table: Table, m: Measurement) -> str:
    ratio = table.ratio(m)
    return NONE if ratio is None else f"{number(ratio)}×"


def text(table: Table) -> str:
    """Aligned columns."""
    rows = cells(table)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [table.title]
    for first, *others in rows:
        padded = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        lines.append("   ".join([f"{first:{widths[0]}}", *padded]))
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """The same as a table of Markdown."""
    header, *rows = cells(table)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
