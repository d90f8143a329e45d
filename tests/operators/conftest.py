"""Which of the shared checks run: all of them for one case of each operator, and a drawn part for its other cases.

`pytest --every-check` runs all, and so does `make checks`.
"""

from __future__ import annotations

import zlib

import pytest

from tests.drawing import keep_drawn

ALWAYS = ("agrees_with_autograd", "shows_every_fault")
"""Checks that run for every case: values and gradients, and that a fault in any of them would show."""

PART = 4
"""One of so many other checks of a further case runs."""


def pytest_collection_modifyitems(config, items):
    first: dict[type, object] = {}
    keep_drawn(config, items, lambda item: drawn(item, first))


def drawn(item: pytest.Item, first: dict[type, object]) -> bool:
    """Whether a test runs: every test but some shared checks."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    case, check = params.get("case"), params.get("check")
    if case is None or check is None or not hasattr(case, "operator"):
        return True
    if first.setdefault(type(case.operator), case) is case or check.__name__ in ALWAYS:
        return True
    return zlib.crc32(f"{case.name} {check.__name__}".encode()) % PART == 0
