"""Texts as terminals and pictures show them: nothing in them is invisible, acts on a terminal, or has no end."""

from __future__ import annotations

import re

__all__ = ["message", "received", "shortened", "shown", "visible"]

MOST = 500
"""The characters that are shown of a name or of a word; the middle of a longer one is left out."""
MOST_OF_A_MESSAGE = 20_000

BREAKS = {"\n": "⏎", "\r": "␍", "\t": "⇥", "\x7f": "␡", "\u2028": "⏎", "\u2029": "⏎"}
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]"
    "|[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
NO_CHARACTERS = frozenset(map(chr, (*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)))
LONG_WORD = re.compile(rf"\S{{{MOST + 1},}}")
TEXTS = (str, bytes, bytearray)
CONTAINERS = (list, tuple, set, frozenset, dict)


def visible(text: object) -> str:
    r"""A text in which control, escape, bidirectional and invisible characters are replaced by visible ones.

    >>> print(visible("a\nb\x1b[31m\u202e"))
    a⏎b␛[31m\u202e
    """
    return UNPRINTABLE.sub(_picture, str(text))


def _picture(match: re.Match[str]) -> str:
    character = match.group()
    if character in BREAKS:
        return BREAKS[character]
    if character < " ":
        return chr(0x2400 + ord(character))
    return "\ufffd" if character in NO_CHARACTERS else character.encode("unicode_escape").decode()


def shortened(text: str, most: int = MOST) -> str:
    """A text of at most `most` characters; the middle of a longer one is left out.

    >>> shortened("a_name_that_is_long", 9)
    'a_name…ng'
    """
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def shown(name: object) -> str:
    """The name of a node as it is shown: visible, and the middle of a very long one left out."""
    return visible(shortened(str(name)))


def received(value: object, most: int = 150) -> str:
    """A value that an error is about: as it is written, or its type if that is long.

    >>> received(0.5), received(list(range(100)))
    ('0.5', 'an instance of list')
    """
    try:
        text = "\n" if _is_large(value, most) else repr(value)
    except Exception:  # whatever the object raises, it must not hide the error that is about it
        text = "\n"
    return text if len(text) <= most and "\n" not in text else f"an instance of {type(value).__name__}"


def _is_large(value: object, most: int) -> bool:
    """Whether a value holds more than so many characters, or elements at any depth, which are not written down."""
    waiting, count = [value], 0
    while waiting and count <= most:
        each = waiting.pop()
        if isinstance(each, TEXTS + CONTAINERS):
            count += len(each)
        if isinstance(each, CONTAINERS) and count <= most:
            waiting += [*each, *each.values()] if isinstance(each, dict) else each
    return count > most


def message(text: str) -> str:
    """The text of an error or a warning as it is shown: visible, with very long names shortened."""
    short = LONG_WORD.sub(lambda match: shortened(match.group()), text)
    return visible(shortened(short, MOST_OF_A_MESSAGE))
