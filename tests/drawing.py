"""Tests of which a part is drawn by default."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def keep_drawn(config: pytest.Config, items: list[pytest.Item], drawn: Callable[[pytest.Item], bool]) -> None:
    """Deselect the tests that are not drawn, unless every check is wanted or a test is named."""
    if config.getoption("--every-check") or any("::" in argument for argument in config.args):
        return
    kept, out = [], []
    for item in items:
        (kept if drawn(item) else out).append(item)
    config.hook.pytest_deselected(items=out)
    items[:] = kept
