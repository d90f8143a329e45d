"""The two dictionaries <-> plain data for JSON: names, numbers and lists, never code.

    {"format": "graphdl", "version": 1,
     "operators":    {"fc1": {"type": "Linear", "in_features": 2, "out_features": 25}, "copy": {"type": "Shared", ...}},
     "connectivity": {"x": ["fc1"], "fc1": [{"key": "loss", "slot": "prediction", "gradient": 0.5}]}}

A Block is {"type": "Block", "operators": {...}, "connectivity": {...}}, with "inputs" and "outputs" if they were given.
Settings at their defaults are left out. Where a key is an int, both dictionaries become lists of [key, value] pairs,
since the keys of JSON are strings; either form is read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors

from graphdl.budget import most_text
from graphdl.errors import FileFormatError, GraphDLError, SettingError, did_you_mean, listing
from graphdl.files import read_bytes, write_bytes
from graphdl.graph import Block, Feed, Key, Shared
from graphdl.json_text import parse, repeated
from graphdl.operators import Operator
from graphdl.registry import is_registered, registered_class
from graphdl.settings import LARGEST_INTEGER, chosen_settings

FORMAT, VERSION = "graphdl", 1
FIELDS = ("format", "version", "operators", "connectivity")


def to_dict(
    operators: Mapping[Key, Operator | Shared | Block], connectivity: Mapping[Key, Iterable[Feed]]
) -> dict[str, Any]:
    """Write the two dictionaries as plain data. Raises SettingError for a value that cannot be stored."""
    return {"format": FORMAT, "version": VERSION, **_write_level(operators, connectivity, "operators")}


def _write_level(operators: Mapping[Key, Any], connectivity: Mapping[Key, Any], where: str) -> dict[str, Any]:
    pairs = _as_mapping if all(isinstance(key, str) for key in (*operators, *connectivity)) else _as_pairs
    return {
        "operators": pairs((key, _write(operator, f"{where}[{key!r}]")) for key, operator in operators.items()),
        "connectivity": pairs((key, [_write_feed(feed) for feed in feeds]) for key, feeds in connectivity.items()),
    }


def from_dict(data: object) -> tuple[dict[Key, Operator | Shared | Block], dict[Key, list[Feed]]]:
    """Read the two dictionaries. Raises FileFormatError if the data have another format."""
    try:
        return _read_network(data)
    except RecursionError:
        raise FileFormatError("The stored network is nested too deeply: this is not a stored network.") from None


def _read_network(data: object) -> tuple[dict[Key, Operator | Shared | Block], dict[Key, list[Feed]]]:
    if not isinstance(data, Mapping):
        raise FileFormatError(f"A stored network is a dictionary, not {_short(data)}.")
    if data.get("format") != FORMAT:
        raise FileFormatError(
            f'"format" is {_short(data.get("format"))} and not "{FORMAT}": this is not a stored network.'
        )
    if data.get("version") != VERSION or isinstance(data["version"], bool):
        raise FileFormatError(
            f'"version" is {_short(data.get("version"))}, and this release of graphdl reads version {VERSION}: '
            "read the file with the release that wrote it, or a newer one."
        )
    for name in data:
        if name not in FIELDS:
            raise FileFormatError(f"{_short(name)} is not part of a stored network.{did_you_mean(name, FIELDS)}")
    return _read_level(data)


def _read_level(data: Mapping[str, Any], path: str = "") -> tuple[dict[Key, Any], dict[Key, list[Feed]]]:
    """The two dictionaries of a network, or of the block at a path."""
    inside = f"{path}, " if path else ""
    operators = {
        key: _read_operator(value, f"{inside}operators[{key!r}]") for key, value in _entries(data, "operators", path)
    }
    connectivity = {
        key: _read_feeds(value, f"{inside}connectivity[{key!r}]") for key, value in _entries(data, "connectivity", path)
    }
    return operators, connectivity


def write_json(data: Mapping[str, Any], path: Path) -> Path:
    """Write plain data as a JSON file, with one line for each operator and node."""
    write_bytes(path, lay_out(data, path))
    return path


def lay_out(data: Mapping[str, Any], path: Path) -> bytes:
    """The text of the file. Raises SettingError for a number that JSON does not have."""
    try:
        return _lay_out(data).encode()
    except UnicodeEncodeError:
        raise SettingError(f"{path}: a name has half of a surrogate pair, which no file can hold.") from None
    except ValueError:
        raise SettingError(f"{path}: a setting is infinite or not a number, which JSON cannot hold.") from None


def _lay_out(data: Mapping[str, Any]) -> str:
    """The text of the file. Raises ValueError for a number that JSON does not have."""
    dumps = partial(json.dumps, allow_nan=False)
    lines = [f'{{\n  "format": {dumps(data["format"])},\n  "version": {data["version"]},']
    for name, end in (("operators", ","), ("connectivity", "\n}")):
        held = data[name]
        named = isinstance(held, dict)
        opening, closing = "{}" if named else "[]"
        entries = [f"{dumps(k)}: {dumps(v)}" for k, v in held.items()] if named else map(dumps, held)
        body = ",\n    ".join(entries)
        lines.append(f'  "{name}": {opening}\n    {body}\n  {closing}{end}')
    return "\n".join(lines) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises FileFormatError if it is missing, invalid or too long."""
    return parse(read_bytes(path, most_text()), path)


def _as_mapping(entries: Iterable[tuple[Key, Any]]) -> dict[Key, Any]:
    return dict(entries)


def _as_pairs(entries: Iterable[tuple[Key, Any]]) -> list[list[Any]]:
    return [[key, value] for key, value in entries]


def _write(value: object, where: str) -> Any:
    """A setting, an operator or an initializer as plain data."""
    if isinstance(value, Shared):
        return {"type": "Shared", "key": value.key}
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise SettingError(f"{where}: {_short(value)} cannot be stored: an integer in a file has 64 bits.")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_write(element, where) for element in value]
    if isinstance(value, Block):
        ends = {name: list(held) for name in ("inputs", "outputs") if (held := getattr(value, name)) is not None}
        level = _write_level(value.operators, value.connectivity, f"{where}, operators")
        return {"type": "Block", **level, **ends}
    if is_registered(type(value)):
        stored = {name: _write(held, f"{where}, {name}") for name, held in chosen_settings(value).items()}
        if "type" in stored:
            raise SettingError(
                f"{where}: {type(value).__name__} has a setting called 'type', a name that files reserve: rename it."
            )
        return {"type": type(value).__name__, **stored}
    raise SettingError(
        f"{where}: a {type(value).__name__} cannot be stored. A file holds numbers, strings, lists, and operators and "
        "initializers registered by @graphdl.register."
    )


def _write_feed(feed: Feed) -> Any:
    chosen = chosen_settings(feed)
    return feed.key if list(chosen) == ["key"] else chosen


def _entries(data: Mapping[str, Any], name: str, path: str = "") -> list[tuple[Key, Any]]:
    """The entries of one of the dictionaries, in either form."""
    held, where = data.get(name), f"{path}: " if path else ""
    if isinstance(held, Mapping):
        return [(_read_key(key, f"{where}{name}"), value) for key, value in held.items()]
    if isinstance(held, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in held):
        keys = [_read_key(pair[0], f"{where}{name}") for pair in held]
        if len(set(keys)) < len(keys):
            raise FileFormatError(f'{where}"{name}" has a node more than once: {repeated(keys)}. Keep one entry.')
        return [(key, pair[1]) for key, pair in zip(keys, held, strict=True)]
    raise FileFormatError(f'{where}"{name}" is {_short(held)}: write a dictionary, or a list of [key, value] pairs.')


def _read_key(key: object, where: str) -> Key:
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise FileFormatError(f"{where}: {_short(key)} is not the key of a node, which is a string or an integer.")
    return key


def _sized(value: Any, where: str) -> Any:
    """A value. Raises FileFormatError for an integer that has more than 64 bits."""
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise FileFormatError(f"{where}: {_short(value)} is not an integer of 64 bits.")
    return value


def _read_operator(value: object, where: str) -> Operator | Shared | Block:
    read = read_value(value, where, "operators")
    if not isinstance(read, (Operator, Shared, Block)):
        raise FileFormatError(f'{where} is {_short(value)}: write {{"type": name of an operator, and its settings}}.')
    return read


def read_value(value: object, where: str, within: str = "") -> Any:
    """Plain data as a setting, an operator or an initializer; `within` is "operators" where it is an operator."""
    if isinstance(value, list):
        return tuple(read_value(element, where) for element in value)
    if not isinstance(value, Mapping):
        return _sized(value, where)
    if "type" not in value:
        raise FileFormatError(f'{where} is {_short(value)}, without a "type": write the name of its class.')
    try:
        cls = registered_class(value["type"], within)
    except FileFormatError as error:
        raise FileFormatError(f"{where}: {error}") from None
    held = {name: each for name, each in value.items() if name != "type"}
    if cls is Block:
        held["operators"], held["connectivity"] = _read_level(held, where)
    if cls in (Block, Shared):
        return construct(cls, held, where)
    stored = {name: read_value(each, f"{where}, {name}") for name, each in held.items()}
    return construct(cls, stored, where)


def _read_feeds(value: object, where: str) -> list[Feed]:
    if not isinstance(value, list):
        raise FileFormatError(f"{where} is {_short(value)}: write a list of nodes.")
    return [
        construct(Feed, edge, where) if isinstance(edge, Mapping) else Feed(_read_key(edge, where)) for edge in value
    ]


def construct(cls: type, stored: Mapping[str, Any], where: str) -> Any:
    """Create an instance of a registered class from stored settings. Raises FileFormatError if they do not fit."""
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    name = cls.__name__
    for setting in stored:
        if setting not in known:
            raise FileFormatError(
                f"{where}: {name} has no setting {setting!r}.{did_you_mean(setting, known)} "
                f"Its settings are {listing(known) or 'none'}."
            )
    try:
        return cls(**stored)
    except GraphDLError as error:
        raise FileFormatError(f"{where}: {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{where}: {name} cannot be created with these settings: {error}.") from error


def packed(net: Any) -> bytes:
    """The parameters and buffers of a network as a safetensors file."""
    return safetensors.save({name: tensor.contiguous().cpu() for name, tensor in net.state_dict().items()})


def reduced(net: Any) -> tuple[Any, ...]:
    """What a network's __reduce__ returns: `restored`, and what it needs.

    Tensors are bytes in it: between processes, multiprocessing would share the memory of tensors.
    """
    state = packed(net) if net.engine.built and net.device.type != "meta" else None
    declared = (net.operators, net.connectivity, net.device, net.dtype)
    generator = net.generator.get_state().numpy().tobytes()
    return restored, (type(net), declared, state, generator, net.engine.frozen, net.outputs)


def restored(
    cls: Any, declared: tuple[Any, ...], state: Any, generator: Any, frozen: frozenset[Key], outputs: tuple[Key, ...]
) -> Any:
    """A network from the data that its __reduce__ returned."""
    operators, connectivity, device, dtype = declared
    net = cls(operators, connectivity, seed=0, device="meta", dtype=dtype)
    if net.outputs != outputs:  # a part may have outputs that other nodes read
        net._set_up(net.generator, net.device, net.dtype, None, outputs)
    net.to(device)
    if state is not None:
        net.load_state_dict(safetensors.load(state))
    net.generator.set_state(torch.frombuffer(bytearray(generator), dtype=torch.uint8))
    if frozen:
        net.engine.freeze(frozen, frozen=True)
    return net


def _short(value: object) -> str:
    text = f"a number of {value.bit_length():,} bits" if type(value) is int and abs(value) > 2**99 else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
