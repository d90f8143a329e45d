"""What a training run depends on, as plain data, and what differs between two runs."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.intake import as_tensor, is_array
from graphdl.training.runs.stored import digest_of_tensors

MOST_READ = 2**24
"""The bytes of a tensor that its digest depends on, at most."""

MOST_ENTRIES, MOST_NESTED = 100, 4
"""How many entries of a list are written out, and how many objects inside each other."""

LONGEST = 8
"""The bytes of the longest number that torch has."""

WHOLE = (complex, range, Enum, date, timedelta, Decimal, torch.dtype, torch.device, numpy.dtype)
"""Classes of which the text says all that an instance holds."""

NOTHING: Any = object()
"""Stands for an entry that only the other of two descriptions has."""


def nodes_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The two dictionaries of a network, as its to_dict returns them, by the keys of its nodes."""
    held = {name: stored[name] for name in ("operators", "connectivity")}
    pairs = {name: each.items() if isinstance(each, dict) else each for name, each in held.items()}
    return {name: {repr(key): value for key, value in each} for name, each in pairs.items()}


def described(value: Any, depth: int = 0) -> Any:
    """An argument as plain data: tensors by shape and digest, functions by name, objects by class and settings."""
    if isinstance(value, numpy.generic):
        plain = value.item()
        value = plain if isinstance(plain, (bool, int, float, str)) else numpy.asarray(value)
    if isinstance(value, (bytes, bytearray)):
        value = numpy.frombuffer(value, numpy.uint8)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, WHOLE):
        return str(value)
    if isinstance(value, Path):
        return value.name  # the folder may have moved
    if is_array(value) and not isinstance(value, (Tensor, list, tuple)):
        return described(_as_plain(value), depth)
    if isinstance(value, Tensor):
        shape, kind = tuple(value.shape), str(value.dtype).removeprefix("torch.")
        return f"{kind} {shape}, sha256 {digest_of_tensors({'': value}, MOST_READ)[:16]}"
    if isinstance(value, Mapping):
        return _shortened({str(key): described(each, depth) for key, each in value.items()})
    if isinstance(value, (list, tuple)):
        return _shortened([described(each, depth) for each in value])
    if isinstance(value, Set):
        return _shortened(sorted((described(each, depth) for each in value), key=json.dumps))
    if isinstance(value, type) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}"
    name = {"class": f"{type(value).__module__}.{type(value).__qualname__}"}
    return name if depth >= MOST_NESTED else {**name, **_settings(value, depth + 1)}


def _as_plain(value: Any) -> Any:
    """A table or an array as a tensor; if it holds no numbers, as a list, a text with a digest, or its class."""
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= LONGEST:
        return torch.from_numpy(numpy.ascontiguousarray(value).astype(value.dtype.newbyteorder("=")))
    with suppress(SettingError):
        return as_tensor(value, "")
    try:
        array = numpy.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return type(value)
    if not array.dtype.hasobject:
        return f"{array.dtype} {array.shape}, sha256 {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    return array.tolist() if array.ndim else type(value)  # an array of no dimension holds the object itself


def _shortened(entries: Any) -> Any:
    """Many entries as their number and digest."""
    if len(entries) <= MOST_ENTRIES:
        return entries
    return f"{len(entries)} entries, sha256 {hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16]}"


def _settings(instance: Any, depth: int) -> dict[str, Any]:
    """The settings of an object: its fields, or the attributes that are called as arguments of its constructor."""
    if dataclasses.is_dataclass(instance):
        return {each.name: described(getattr(instance, each.name), depth) for each in dataclasses.fields(instance)}
    held = getattr(instance, "__dict__", {})
    try:
        names = [name for name in inspect.signature(type(instance)).parameters if name in held]
    except (TypeError, ValueError):
        names = []
    return {name: described(held[name], depth) for name in names}


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """What differs between two descriptions: "batch_size was 50 and is 32". Of a list, the first such element."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (*old, *(name for name in new if name not in old)):
            inner = f"{path}: {name}" if path else str(name)
            yield from differences(old.get(name, NOTHING), new.get(name, NOTHING), inner)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        for k, (one, other) in enumerate(zip_longest(old, new, fillvalue=NOTHING)):
            if found := [*differences(one, other, f"{path}[{k}]")]:
                yield from found
                return
    elif old is NOTHING:
        yield f"{path} is new: {_short(new)}"
    elif new is NOTHING:
        yield f"{path} was {_short(old)} and is gone"
    elif json.dumps(old) != json.dumps(new):
        yield f"{path} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and ", sha256 " in value else json.dumps(value)
    return text if len(text) <= 120 else text[:119] + "…"
