"""Which steps are too small for several threads."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from graphdl.errors import GraphDLWarning, level_outside

if TYPE_CHECKING:
    from graphdl.execution.engine import Engine

SMALL = 1e7
"""Steps of up to so many multiplications use one thread. To distribute less work among threads costs more than it
saves, and on a busy machine threads that wait for each other make a small step dozens of times slower."""


def is_small(rows: int, parameters: int) -> bool:
    """Whether one thread is best for a step: it takes about 3 multiplications for each row and parameter."""
    return 3 * rows * parameters <= SMALL


def advise_on_threads(engine: Engine) -> None:
    """Issue a GraphDLWarning if the steps of a custom loop are small and use several threads."""
    threads = torch.get_num_threads()
    shapes = [tensor.shape for tensor in engine.known_inputs().values() if tensor.dim()]
    rows = shapes[0][0] if shapes else 1
    if threads > 1 and engine.device.type == "cpu" and is_small(rows, engine.store.count):
        warnings.warn(
            f"The steps of this loop are small, and torch shares each out among {threads} threads: one thread is "
            "faster, on a busy machine many times. Call torch.set_num_threads(1) before the loop, as fit does.",
            GraphDLWarning,
            stacklevel=level_outside(),
        )
