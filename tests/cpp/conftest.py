"""Each case runs in one of its two types, drawn by its name; `pytest --every-check` runs it in both."""

from __future__ import annotations

import zlib

import pytest
import torch

from tests.drawing import keep_drawn

DTYPES = torch.float32, torch.float64


def pytest_collection_modifyitems(config, items):
    keep_drawn(config, items, drawn)


def drawn(item: pytest.Item) -> bool:
    """Whether a test runs: every test outside this folder, and each case here in one type."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    if not item.path.is_relative_to(__file__.rpartition("/")[0]) or params.get("dtype") not in DTYPES:
        return True
    name = item.nodeid.replace("single", "").replace("double", "")
    return params["dtype"] is DTYPES[zlib.crc32(name.encode()) % 2]
