"""graphdl's own functions among those of torch, as torch.ops.graphdl, which a recorded step calls like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

LIBRARY = torch.library.Library("graphdl", "DEF")  # type: ignore[no-untyped-call]


def define(schema: str, **kernels: Callable[..., Any]) -> None:
    """Define a function by its schema, "name(Tensor x) -> Tensor", and a kernel for each of torch's dispatch keys."""
    LIBRARY.define(schema)  # type: ignore[no-untyped-call]
    for key, kernel in kernels.items():
        LIBRARY.impl(schema.partition("(")[0], kernel, key)  # type: ignore[no-untyped-call]
