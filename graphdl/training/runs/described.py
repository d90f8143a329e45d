"""What a training run depends on, as plain data, and what differs between two runs."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from graphdl.training.runs.stored import digest_of_tensors

MOST_READ = 2**24
"""The bytes of a tensor that its digest depends on, at most."""

MOST_ENTRIES, MOST_NESTED = 100, 4
"""How many entries of a list are written out, and how many objects inside each other."""

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
"""In the text of an object that does not say what it holds."""


def nodes_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The two dictionaries of a network, as its to_dict returns them, by the keys of its nodes."""
    held = {name: stored[name] for name in ("operators", "connectivity")}
    pairs = {name: each.items() if isinstance(each, dict) else each for name, each in held.items()}
    return {name: {repr(key): value for key, value in each} for name, each in pairs.items()}


def described(value: Any, depth: int = 0) -> Any:
    """An argument as plain data: tensors by shape and digest, functions by name, objects by class and settings."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return value.name  # the folder may have moved
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(numpy.ascontiguousarray(value).astype(value.dtype.newbyteorder("=")))
    if isinstance(value, Tensor):
        shape, kind = tuple(value.shape), str(value.dtype).removeprefix("torch.")
        return f"{kind} {shape}, sha256 {digest_of_tensors({'': value}, MOST_READ)[:16]}"
    if isinstance(value, Mapping):
        return _shortened({str(key): described(each, depth) for key, each in value.items()})
    if isinstance(value, (list, tuple)):
        return _shortened([described(each, depth) for each in value])
    if isinstance(value, type) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}"
    name = {"class": f"{type(value).__module__}.{type(value).__qualname__}"}
    return name if depth >= MOST_NESTED else {**name, **_settings(value, depth + 1)}


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
    if names:
        return {name: described(held[name], depth) for name in names}
    text = repr(instance)
    return {} if ADDRESS.search(text) else {"text": text}


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """What differs between two descriptions: "batch_size was 50 and is 32"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (*old, *(name for name in new if name not in old)):
            inner = f"{path}: {name}" if path else str(name)
            if name not in new:
                yield f"{inner} was {_short(old[name])} and is gone"
            elif name not in old:
                yield f"{inner} is new: {_short(new[name])}"
            else:
                yield from differences(old[name], new[name], inner)
    elif json.dumps(old) != json.dumps(new):
        yield f"{path} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and ", sha256 " in value else json.dumps(value)
    return text if len(text) <= 120 else text[:119] + "…"
