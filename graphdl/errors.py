"""The errors of graphdl: each says what happened, at which node, what was expected and how to fix it."""

from __future__ import annotations

import difflib
import heapq
import importlib
import sys
from collections.abc import Iterable, Sequence
from itertools import takewhile
from types import ModuleType

from graphdl.shown import message

__all__ = [
    "ArityError",
    "CallError",
    "CompileError",
    "CycleError",
    "DrawingError",
    "DuplicateSlotError",
    "FileFormatError",
    "GradientError",
    "GraphDLError",
    "GraphDLWarning",
    "MissingInputError",
    "MissingPackageError",
    "NonFiniteError",
    "OperatorError",
    "SettingError",
    "ShapeError",
    "UnknownAttributeError",
    "UnknownNodeError",
    "UnreachableError",
]


COMPARED = 300
"""How many names are compared with a misspelt one letter by letter: those with the most similar ends."""


class _Visible:
    """An error or a warning whose text shows control and bidirectional characters of names instead of sending them."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(message(arg) if isinstance(arg, str) else arg for arg in args))


class GraphDLError(_Visible, Exception):
    """The base class of all errors that graphdl raises."""


class GraphDLWarning(_Visible, UserWarning):
    """Something that is allowed, and is probably a mistake."""


class CycleError(GraphDLError):
    """The connectivity has a cycle."""


class ShapeError(GraphDLError):
    """The shapes that reach a node do not fit its operator."""


class UnknownNodeError(GraphDLError):
    """A name that is not a node, an input or a parameter of the network."""


class UnknownAttributeError(GraphDLError, AttributeError):
    """A name that a Network does not have."""


class ArityError(GraphDLError):
    """A node is fed by more inputs than its operator takes, or at a slot that it does not have."""


class DuplicateSlotError(GraphDLError):
    """Two edges feed the same slot of a node."""


class MissingInputError(GraphDLError):
    """A value that the network needs was not given."""


class UnreachableError(GraphDLError):
    """A node that is not connected to any other, or losses that no trainable parameter reaches."""


class SettingError(GraphDLError):
    """A setting of an operator, an initializer, an optimizer or a call is out of range or contradictory."""


class CallError(GraphDLError, TypeError):
    """A function was called without an argument that it needs, or with one that it does not take."""


class OperatorError(GraphDLError):
    """An operator broke its contract or failed on its inputs for a reason other than their shapes."""


class GradientError(OperatorError):
    """A hand-written gradient has a wrong shape, or disagrees with the numerical one."""


class CompileError(GraphDLError):
    """A training step cannot be compiled."""


class NonFiniteError(GraphDLError):
    """A value became infinite or not a number."""


class FileFormatError(GraphDLError):
    """A file or a dictionary does not have the expected format."""


class DrawingError(GraphDLError):
    """A diagram could not be drawn."""


class MissingPackageError(GraphDLError):
    """An optional package that the call needs is not installed."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return ' Did you mean ...?' for the closest known name, or '' if none is close.

    >>> did_you_mean("tahn", ["tanh", "relu"])
    " Did you mean 'tanh'?"
    >>> did_you_mean("zzz", ["tanh"])
    ''
    """
    wanted = _comparable(name)
    by_text = {_comparable(candidate): candidate for candidate in known}
    near = by_text if len(by_text) <= COMPARED else heapq.nlargest(COMPARED, by_text, lambda each: _ends(wanted, each))
    close = difflib.get_close_matches(wanted, near, n=1)
    return f" Did you mean {by_text[close[0]]!r}?" if close else ""


def _comparable(name: object) -> str:
    """A name for comparisons with others; of a long one, its two ends."""
    text = str(name)
    return (text if len(text) <= 200 else text[:100] + text[-100:]).lower()


def _ends(one: str, other: str) -> int:
    """The number of characters at the beginning and at the end that two names have in common."""
    pairs = zip(one, other, strict=False), zip(reversed(one), reversed(other), strict=False)
    return sum(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], each)) for each in pairs)


def counted(number: int, noun: str) -> str:
    """A number followed by its noun, in the plural where needed.

    >>> counted(1, "operator"), counted(1200, "operator"), counted(2, "axis")
    ('1 operator', '1,200 operators', '2 axes')
    """
    several = f"{noun[:-2]}es" if noun.endswith("is") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def listing(items: Iterable[object], most: int = 12) -> str:
    """Join names for a sentence: "a, b and c"; the middle of a long list is counted, not printed.

    >>> listing(["tanh", "relu", "sum"])
    'tanh, relu and sum'
    """
    texts = [str(item) for item in items]
    if len(texts) > most:
        texts = [*texts[: most - 1], f"{len(texts) - most + 1} more"]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def path_text(nodes: Sequence[object], ends: int = 5) -> str:
    """Nodes along a path, "a -> b -> c"; of a long path its two ends, and the number of nodes between.

    >>> path_text(range(100), ends=2)
    '0 -> 1 -> ... 96 more ... -> 98 -> 99'
    """
    texts = list(map(str, nodes if len(nodes) <= 4 * ends else [*nodes[:ends], *nodes[-ends:]]))
    if len(nodes) > len(texts):
        texts.insert(ends, f"... {len(nodes) - 2 * ends:,} more ...")
    return " -> ".join(texts)


def import_optional(module: str, caller: str, package: str, extra: str) -> ModuleType:
    """Import a module of an optional package. Raises MissingPackageError, which names caller and extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{caller} needs {package}, which cannot be imported ({error}): pip install 'graphdl[{extra}]'."
        ) from None


def level_outside() -> int:
    """The stacklevel with which a warning of the caller refers to the code that called graphdl."""
    level, outside, frame = 1, 1, sys._getframe(1)
    while frame.f_back is not None:
        level, frame = level + 1, frame.f_back
        if frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("graphdl."):
            outside = level + 1
    return outside
