"""Texts and numbers of a diagram: escaping, shortening, units and widths."""

from __future__ import annotations

import html
import re
import textwrap
from typing import Any

import graphviz

from graphdl.shown import visible

__all__ = [
    "compact",
    "compact_count",
    "identifier",
    "markup",
    "readable",
    "shape_text",
    "shorten",
    "tooltip",
    "width",
    "wrapped",
]

LINES = 3
NO_BREAK = "\u00a0"
UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
NARROW = frozenset("iljtfrI.,:;'|!()[]/ \"")
BROAD = frozenset("mwMW@%→×∇")
FIRST_DOUBLE_WIDTH = "\u1100"
ADVANCES = {"narrow": 0.32, "broad": 0.9, "upper": 0.7, "double": 1.0, "normal": 0.56}


def readable(text: object) -> str:
    r"""Return a text in which unprintable characters are replaced by visible ones, and an empty text as "".

    >>> readable("a\nb")
    'a⏎b'
    >>> readable("")
    '""'
    """
    seen = visible(text)
    return seen if seen.strip() else f'"{seen}"'


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` characters; a longer one ends with an ellipsis.

    >>> shorten("fully_connected", 8)
    'fully_c…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def wrapped(text: object, most: int) -> list[str]:
    """Return a readable text in at most LINES lines of at most `most` characters; a longer one ends with an ellipsis.

    Lines end after a comma outside brackets, unless the text between two of these is longer than a line.

    >>> wrapped("32 → 64, num_layers 2, batch_first", 20)
    ['32 → 64,', 'num_layers 2,', 'batch_first']
    """
    together = re.sub(r"(?<!,) | (?=[^(]*\))", NO_BREAK, readable(text))
    lines = textwrap.wrap(together, most, max_lines=LINES, placeholder="…", break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines]


def markup(text: object, most: int = 10**6) -> str:
    r"""Return a text for an HTML-like label of Graphviz: readable, shortened, escaped.

    >>> print(markup(r"a<b\N"))
    a&lt;b\\N
    """
    escaped = html.escape(shorten(readable(text), most)).replace("\\", r"\\")
    return escaped.replace("]", "&#93;")  # a text that begins with "]" is a syntax error to Graphviz


def identifier(text: object) -> Any:
    """Return a text for the id of a node or a frame, with all special characters escaped."""
    return graphviz.escape(readable(text).replace("&", "&amp;"))


def tooltip(text: object) -> Any:
    """Return a text for the tooltip of a node, an edge or a frame, which Graphviz unescapes twice."""
    return graphviz.escape(identifier(text)) if text else " "


def compact(number: int) -> str:
    """Return a count with three significant digits.

    >>> [compact(n) for n in (256, 1728, 73_728, 6_573_130, 5_900_000)]
    ['256', '1.73k', '73.7k', '6.57M', '5.9M']
    """
    rounded = int(float(f"{number:.3g}"))
    for size, unit in UNITS:
        if rounded >= size:
            return f"{rounded / size:.3g}{unit}"
    return str(number)


def compact_count(number: int, noun: str) -> str:
    """Return a number followed by its noun, in the plural where needed.

    >>> compact_count(1, "operator"), compact_count(1728, "parameter")
    ('1 operator', '1.73k parameters')
    """
    return f"{compact(number)} {noun}{'' if number == 1 else 's'}"


def shape_text(shape: tuple[int, ...] | None, dtype: str = "") -> str:
    """Return a shape without its batch axis, followed by the data type; '' if both are unknown.

    >>> shape_text((64, 32, 32)), shape_text((), "i64"), shape_text(None)
    ('64×32×32', 'scalar i64', '')
    """
    sizes = "" if shape is None else "×".join(map(str, shape)) or "scalar"
    return f"{sizes} {dtype}".strip()


def width(text: str, size: float, bold: bool = False) -> float:
    """Return the approximate width in points of a text in Helvetica of a size."""
    em = sum(ADVANCES[_breadth(character)] for character in text)
    return em * size * (1.06 if bold else 1.0)


def _breadth(character: str) -> str:
    if character in NARROW:
        return "narrow"
    if character in BROAD:
        return "broad"
    if FIRST_DOUBLE_WIDTH <= character < "\ufb00" and not "\u2000" <= character < "\u2e80":
        return "double"
    return "upper" if character.isupper() else "normal"
