"""Whether operators are recorded to be compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_compiling = ContextVar("compiling", default=False)


@contextmanager
def compiling() -> Iterator[None]:
    """A context in which an operator with two ways takes the one whose calls are written in C++."""
    token = _compiling.set(True)
    try:
        yield
    finally:
        _compiling.reset(token)


def is_compiling() -> bool:
    """Whether this runs in such a context."""
    return _compiling.get()
