"""The random generators that the data of a training run hold: of loaders, their samplers and data sets."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import MemberDescriptorType, ModuleType
from typing import Any

import numpy
import torch

from graphdl.errors import SettingError, listing

MOST_DEPTH, MOST_ENTRIES, MOST_OBJECTS = 12, 100, 10_000
"""How many objects inside each other are looked into, how many entries of each, and how many objects in all."""

GENERATORS = torch.Generator, numpy.random.Generator, numpy.random.RandomState, random.Random
LEAVES = torch.Tensor, numpy.ndarray, numpy.generic, str, bytes, int, float, complex, type, ModuleType, type(None)
"""What is not looked into."""


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
    """The generators to which attributes and entries of the data lead, each once, the nearest first."""
    found, seen, near = list[Held](), dict[int, Any](), deque([(data, 0)])
    while near:
        value, depth = near.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, GENERATORS):
            if not isinstance(value, random.SystemRandom):  # it has no state
                found.append(Held(value))
        elif depth < MOST_DEPTH and (room := MOST_OBJECTS - len(seen) - len(near)) > 0:
            inside = [*islice(_entries(value), MOST_ENTRIES), *islice(_attributes(value), MOST_ENTRIES)]
            near.extend(islice(((each, depth + 1) for each in inside if not isinstance(each, LEAVES)), room))
    return found


def _entries(value: Any) -> Iterable[Any]:
    """The entries of a dictionary, list or tuple; other collections may read or compute theirs."""
    if isinstance(value, dict):
        return dict.values(value)
    return value if isinstance(value, (list, tuple)) else ()


def _attributes(value: Any) -> Iterator[Any]:
    """The attributes of an object, also those in slots."""
    yield from getattr(value, "__dict__", {}).values()
    for owner in type(value).__mro__:
        for slot in vars(owner).values() if "__slots__" in vars(owner) else ():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):  # it has no value
                    yield slot.__get__(value)


def restore(generators: Sequence[Held], states: Sequence[Any]) -> None:
    """Give generators their states. Raises SettingError if the states are of other generators."""
    here, stored = ([_kind(each) for each in some] for some in ([held.state for held in generators], states))
    if here != stored:
        raise SettingError(
            f"checkpoint: inputs and validation hold the random generators {listing(here) or '(none)'}, and in the "
            f"stored run they held {listing(stored) or '(none)'}: make the same ones, before fit is called."
        )
    for generator, state in zip(generators, states, strict=True):
        generator.state = state


def _kind(state: Any) -> str:
    """What a state belongs to."""
    if isinstance(state, torch.Tensor):
        return f"torch.Generator ({state.numel()} bytes)"
    if not isinstance(state, dict):
        return "random.Random"
    return f"{'RandomState' if 'has_gauss' in state else 'numpy.random.Generator'} ({state['bit_generator']})"
