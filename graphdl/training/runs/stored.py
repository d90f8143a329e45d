"""States as files: nested plain data and tensors in one safetensors file, which holds a digest of its content.

The plain data are JSON in the file's metadata, in which a tensor stands by its name. No code is stored or run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from graphdl.errors import FileFormatError, SettingError

TENSOR, TUPLE, PAIRS, ARRAY = "$tensor", "$tuple", "$pairs", "$array"
"""What marks a value that JSON does not have: an object whose first name is one of these."""

MARKS = (TENSOR, TUPLE, PAIRS, ARRAY)


def encoded(kind: str, state: Mapping[str, Any]) -> tuple[bytes, str]:
    """The content of a file for a state, and its digest.

    kind  what the file holds, such as "graphdl sweep 2"

    Raises SettingError for a value that cannot be stored.
    """
    tensors: dict[str, Tensor] = {}
    facts = json.dumps(pack(state, "", tensors))
    digest = _digest(kind, facts, tensors)
    content: bytes = safetensors.torch.save(tensors, {"format": kind, "facts": facts, "sha256": digest})
    return content, digest


def read_state(path: Path, kind: str, digest: str | None = None) -> dict[str, Any]:
    """Read what `encoded` has made, with this digest if one is given. Raises FileFormatError for other files."""
    if path.exists() and not path.is_file():
        raise FileFormatError(f"{path} cannot be read: it is not a file.")
    try:
        with safetensors.safe_open(path, "pt") as file:
            stored = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist.") from None
    except Exception as error:  # safetensors raises its own error class
        raise FileFormatError(f"{path} cannot be read: {error}.") from None
    if stored.get("format") != kind:
        raise FileFormatError(f"{path} cannot be read: its format is {stored.get('format')!r:.60}, not {kind!r}.")
    found = _digest(kind, stored.get("facts", ""), tensors)
    if found != stored.get("sha256") or (digest is not None and found != digest):
        raise FileFormatError(f"{path} is damaged: its content is not that of its sha256.")
    state: dict[str, Any] = unpack(json.loads(stored["facts"]), tensors)
    return state


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Plain data for JSON; tensors are put aside under names such as "network.fc1.weight".

    Raises SettingError for values of other classes.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, numpy.generic)):
        return float(value) if isinstance(value, float) else pack(value.item(), name, tensors)
    if isinstance(value, Tensor):
        while name in tensors:  # {"a.b": ...} and {"a": {"b": ...}}
            name += "'"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {TENSOR: name}
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biuf":
        return {ARRAY: value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, (list, tuple)):
        packed = [pack(each, f"{name}.{k}".lstrip("."), tensors) for k, each in enumerate(value)]
        return packed if isinstance(value, list) else {TUPLE: packed}
    if isinstance(value, Mapping):
        entries = [(key, pack(each, f"{name}.{key}".lstrip("."), tensors)) for key, each in value.items()]
        plain = all(isinstance(key, str) for key in value) and next(iter(value), "") not in MARKS
        return dict(entries) if plain else {PAIRS: [[pack(key, name, tensors), each] for key, each in entries]}
    raise SettingError(
        f"checkpoint: {name} is an instance of {type(value).__name__}, which cannot be stored. A state holds numbers, "
        "strings, tensors, arrays, and lists and dictionaries of them."
    )


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that was packed."""
    if isinstance(value, list):
        return [unpack(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    mark = next(iter(value), "")
    if mark == TENSOR:
        return tensors[value[TENSOR]]
    if mark == ARRAY:
        return numpy.array(value[ARRAY], dtype=value["dtype"])
    if mark == TUPLE:
        return tuple(unpack(each, tensors) for each in value[TUPLE])
    if mark == PAIRS:
        return {unpack(key, tensors): unpack(each, tensors) for key, each in value[PAIRS]}
    return {key: unpack(each, tensors) for key, each in value.items()}


def digest_of_tensors(tensors: Mapping[Any, Tensor], most: float = math.inf) -> str:
    """The sha256 of tensors with their names, types and shapes.

    most  the bytes of each that are read at most: of a larger one, rows at equal distances
    """
    held = hashlib.sha256()
    for name, tensor in sorted(tensors.items(), key=lambda entry: str(entry[0])):
        held.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        every = math.ceil(tensor.nbytes / most) if tensor.dim() else 1
        held.update(bytes_of(tensor[::every] if every > 1 else tensor))
    return held.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a tensor, for a digest."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def _digest(kind: str, facts: str, tensors: Mapping[str, Tensor]) -> str:
    held = hashlib.sha256(f"{kind}\n{facts}\n".encode())
    held.update(digest_of_tensors(tensors).encode())
    return held.hexdigest()
