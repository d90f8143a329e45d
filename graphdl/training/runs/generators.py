"""The random generators that the data of a training run hold: of loaders, their samplers and data sets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy
import torch

MOST_DEPTH, MOST_ENTRIES, MOST_OBJECTS = 6, 100, 10_000
"""How many objects inside each other are looked into, how many entries of each, and how many objects in all."""


class Held:
    """A generator of torch, NumPy or Python: its state as plain data and tensors."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    @property
    def state(self) -> Any:
        """The state."""
        held = self._generator
        if isinstance(held, torch.Generator):
            return held.get_state()
        if isinstance(held, numpy.random.Generator):
            return held.bit_generator.state
        return held.get_state(legacy=False) if isinstance(held, numpy.random.RandomState) else held.getstate()

    @state.setter
    def state(self, state: Any) -> None:
        held = self._generator
        if isinstance(held, numpy.random.Generator):
            held.bit_generator.state = state
        elif isinstance(held, random.Random):
            held.setstate(state)
        else:
            held.set_state(state)


def generators_of(data: Any) -> list[Held]:
    """The generators to which attributes and entries of the data lead, each once, in a fixed order."""
    return [Held(each) for each in _found(data, MOST_DEPTH, set())]


def _found(value: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen or len(seen) >= MOST_OBJECTS:
        return
    seen.add(id(value))
    if isinstance(value, (torch.Generator, numpy.random.Generator, numpy.random.RandomState, random.Random)):
        yield value
    elif depth and not isinstance(value, (torch.Tensor, numpy.ndarray, type, ModuleType)):
        entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
        for each in [*list(entries)[:MOST_ENTRIES], *list(getattr(value, "__dict__", {}).values())[:MOST_ENTRIES]]:
            yield from _found(each, depth - 1, seen)
