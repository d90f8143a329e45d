"""HTML-like labels of Graphviz: cards, pills, frames and the title. All texts in them are escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from graphdl.rendering.cards import Place
from graphdl.rendering.nodes import FactsOf, Node, NodeFacts, short_name
from graphdl.rendering.readings import readings_table
from graphdl.rendering.text import (
    compact,
    compact_count,
    identifier,
    markup,
    readable,
    shape_text,
    shorten,
    width,
    wrapped,
)
from graphdl.rendering.theme import Theme
from graphdl.shown import shown

__all__ = ["card_label", "circle_label", "frame_label", "frame_title_width", "hint", "pill_label", "title_label"]

NAME, SETTINGS, HEADING, TITLE = 26, 40, 40, 60
LEGEND_COLUMNS = 6
PADDING = 8


def font(text: str, color: str, size: int, *, bold: bool = False) -> str:
    """Return escaped markup in a colour and a size."""
    return f'<FONT COLOR="{color}" POINT-SIZE="{size}">{f"<B>{text}</B>" if bold else text}</FONT>'


def name_of(node: Node) -> str:
    """Return a node's short name as it is shown."""
    return shorten(readable(short_name(node)), NAME)


def hint(node: Node, facts: NodeFacts) -> str:
    """Return everything known about a node in one line: the text of its tooltip."""
    parts = [
        shown(node),
        facts.operator or facts.kind,
        facts.settings,
        shape_text(facts.shape, facts.dtype),
        f"{facts.parameters:,} parameters" if facts.own_parameters else "",
        f"shares the parameters of {shown(facts.shares)}" if facts.shares is not None else "",
        "frozen" if facts.frozen else "",
    ]
    return " · ".join(filter(None, parts))


def card_label(
    rows: Sequence[Node], ids: Mapping[Node, str], facts: FactsOf, place: Place, theme: Theme, least: int = 0
) -> str:
    """Return the label of a card: its title if it stands for a namespace, then a row per operator.

    The columns of all rows are aligned: each has the estimated width of its longest text. `least` is the least width.
    """
    columns = [max(column) for column in zip(*(_measures(node, facts[node]) for node in rows), strict=True)]
    columns[1] += max(0, least - sum(columns) - PADDING)
    lines = [_row(f"r{index}", node, ids[node], facts[node], columns, theme) for index, node in enumerate(rows)]
    if place.title or place.times > 1:
        lines.insert(0, f'<TR><TD ALIGN="LEFT" CELLPADDING="3">{_heading(place, 11, theme)}</TD></TR>')
    return (
        f'<<TABLE STYLE="ROUNDED" BORDER="1" COLOR="{theme.border}" BGCOLOR="{theme.card}" '
        f'CELLBORDER="0" CELLSPACING="3" CELLPADDING="0">{"".join(lines)}</TABLE>>'
    )


def _measures(node: Node, facts: NodeFacts) -> tuple[int, int, int]:
    name = width(f"  {name_of(node)}", 9) + width("  frozen" if facts.frozen else "", 9)
    first = width(shorten(readable(facts.operator), NAME), 11, bold=True) + name
    settings = max((width(line, 10) for line in _settings(facts)), default=0)
    return round(first) + 10, round(settings) + 8, round(width(_amount(facts), 9)) + 8


def _row(port: str, node: Node, row_id: str, facts: NodeFacts, columns: Sequence[int], theme: Theme) -> str:
    tone = theme.tone(facts.tone)
    words = [
        font(markup(facts.operator, NAME), tone.strong, 11, bold=True),
        font(markup(name_of(node)), theme.muted, 9),
        font("frozen", theme.frozen, 9) if facts.frozen else "",
    ]
    lines = [font(markup(line), theme.ink, 10) for line in _settings(facts)]
    settings = lines[0] if len(lines) == 1 else "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines)
    amount = _amount(facts)
    cells = [
        ("LEFT", "  ".join(filter(None, words))),
        ("LEFT", settings),
        ("RIGHT", font(markup(amount), theme.muted, 9) if amount else ""),
    ]
    tooltip = markup(hint(node, facts))
    return (
        f'<TR><TD PORT="{port}" ID="{html.escape(identifier(row_id))}" TOOLTIP="{tooltip}" TARGET="_self">'
        f'<TABLE STYLE="ROUNDED" BGCOLOR="{tone.tint}" BORDER="0" CELLBORDER="0" CELLSPACING="0" '
        'CELLPADDING="3">'
        f"<TR>{''.join(_cell(text, align, size) for (align, text), size in zip(cells, columns, strict=True))}"
        f"</TR>{_readings(facts, theme, columns=3)}</TABLE></TD></TR>"
    )


def _readings(facts: NodeFacts, theme: Theme, columns: int) -> str:
    """Return a row of a table with the recorded value and gradient, if they are shown."""
    table = readings_table(facts.value, facts.gradient, theme)
    return f'<TR><TD ALIGN="LEFT" COLSPAN="{columns}">{table}</TD></TR>' if table else ""


def _settings(facts: NodeFacts) -> list[str]:
    """Return the lines in which a row shows the settings."""
    return wrapped(facts.settings, SETTINGS) if facts.settings else []


def _cell(text: str, align: str, size: int) -> str:
    return f'<TD ALIGN="{align}" WIDTH="{size}">{text}</TD>'


def _amount(facts: NodeFacts) -> str:
    if facts.shares is not None:
        return f"= {shorten(readable(facts.shares), NAME)}"
    return compact(facts.parameters) if facts.parameters else ""


def pill_label(node: Node, facts: NodeFacts, place: Place, theme: Theme) -> str:
    """Return the label of an input, a loss or a merge: name, class, settings or shape."""
    tone = theme.tone(facts.tone)
    name = "/".join((*place.title, short_name(node)))
    if facts.kind == "input":
        words, details = name, [shape_text(facts.shape, facts.dtype)]
    elif facts.kind == "loss":
        words, details = name, [facts.operator, facts.settings]
    else:
        words, details = facts.operator, [name, facts.settings]
    rest = [font(markup(text, SETTINGS), theme.muted, 10) for text in details if text]
    times = [_times(place, 11, theme)] if place.times > 1 else []
    line = "  ".join([font(markup(words, HEADING), tone.strong, 11, bold=True), *rest, *times])
    if not facts.read:
        return f"<{line}>"
    rows = f'<TR><TD ALIGN="LEFT">{line}</TD></TR>{_readings(facts, theme, columns=1)}'
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'


def circle_label(sign: str, name: str, sideways: bool, theme: Theme) -> str:
    """Return the label of a circle: its sign in the middle, and the name where edges are rare.

    That is on the left or, where edges lead sideways, above. An empty cell on the other side keeps the sign centred.
    """
    text = font(markup(name, NAME), theme.muted, 9)
    size = round(width(shorten(readable(name), NAME), 9)) + 8
    middle = f'<TD FIXEDSIZE="TRUE" WIDTH="24" HEIGHT="24">{font(sign, theme.sign, 15, bold=True)}</TD>'
    if sideways:
        rows = f'<TR><TD HEIGHT="12">{text}</TD></TR><TR>{middle}</TR><TR><TD HEIGHT="12"></TD></TR>'
    else:
        side = f'FIXEDSIZE="TRUE" WIDTH="{size}" HEIGHT="24"'
        rows = f"<TR><TD {side}>{text}</TD>{middle}<TD {side}></TD></TR>"
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{rows}</TABLE>>'


def frame_label(place: Place, parameters: int, theme: Theme) -> str:
    """Return the label of a namespace: its name, the parameters of one block, the number of blocks."""
    total = font(compact(parameters), theme.muted, 10) if parameters else ""
    return f"<{_heading(place, 12, theme, total)}>"


def frame_title_width(place: Place, parameters: int) -> float:
    """Return the approximate width of the title of a frame, in points."""
    title = width(shorten(readable("/".join(place.title)), HEADING), 12, bold=True)
    total = width(f"  {compact(parameters)}", 10) if parameters else 0.0
    return title + total + (width(f"  ×{place.times}", 12, bold=True) if place.times > 1 else 0.0)


def _heading(place: Place, size: int, theme: Theme, total: str = "") -> str:
    title = font(markup("/".join(place.title), HEADING), theme.ink, size, bold=True)
    times = _times(place, size, theme) if place.times > 1 else ""
    return "  ".join(filter(None, [title, total, times]))


def _times(place: Place, size: int, theme: Theme) -> str:
    return font(f"×{place.times}", theme.skip, size, bold=True)


def title_label(title: str, facts: FactsOf, parameters: int, theme: Theme) -> str:
    """Return the label of the whole picture: the network's name, its size and the families in use."""
    operators = sum(known.kind != "input" for known in facts.values())
    size = f"{compact_count(operators, 'operator')}  ·  {compact_count(parameters, 'parameter')}"
    texts = [(title, 20, theme.ink, True)] if title else []
    texts.append((size, 12, theme.muted, False))
    widest = max(width(shorten(text, TITLE), points, bold) for text, points, _, bold in texts)
    lines = [
        f'<TD ALIGN="LEFT" CELLPADDING="3">{font(markup(text, TITLE), color, points, bold=bold)}</TD>'
        for text, points, color, bold in texts
    ]
    lines += [f'<TD ALIGN="LEFT">{line}</TD>' for line in _legend(facts, round(widest), theme)]
    rows = "".join(f"<TR>{line}</TR>" for line in [*lines, '<TD HEIGHT="8"></TD>'])
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{rows}</TABLE>>'


def _legend(facts: FactsOf, widest: int, theme: Theme) -> list[str]:
    """Return lines of chips, padded to the same width so that no chip is stretched."""
    used = dict.fromkeys(known.tone for known in facts.values())
    families = [family for family in theme.families if family in used]
    families += [family for family in used if family not in theme.families]
    columns = math.ceil(len(families) / math.ceil(len(families) / LEGEND_COLUMNS)) if families else 1
    lines = [families[start : start + columns] for start in range(0, len(families), columns)]
    sizes = [sum(_chip_width(family) + 3 for family in line) for line in lines]
    goal = max([widest, *sizes])
    return [
        '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="3"><TR>'
        f'{"".join(_chip(family, theme) for family in line)}<TD WIDTH="{goal - size}"></TD></TR></TABLE>'
        for line, size in zip(lines, sizes, strict=True)
    ]


def _chip_width(family: str) -> int:
    return round(width(shorten(readable(family or "other"), NAME), 9, bold=True)) + 6


def _chip(family: str, theme: Theme) -> str:
    tone = theme.tone(family)
    words = font(markup(family or "other", NAME), tone.strong, 9, bold=True)
    return f'<TD STYLE="ROUNDED" BGCOLOR="{tone.tint}" WIDTH="{_chip_width(family)}">{words}</TD>'
