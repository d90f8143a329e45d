"""Writes docs/model.schema.json, the JSON Schema of model.json, from the settings of classes: python -m docs.schema."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import graphdl
from graphdl import Operator, initializers, operators
from graphdl.serialization import FORMAT, VERSION

PAGE = Path(__file__).parent / "model.schema.json"
Schema = dict[str, Any]

KEY: Schema = {"description": "the name of a node", "type": ["string", "integer"]}
FEED: Schema = {
    "description": "an edge: the node that is fed, or with a slot or a factor of the gradient",
    "anyOf": [
        {"$ref": "#/$defs/key"},
        {
            "type": "object",
            "properties": {
                "key": {"$ref": "#/$defs/key"},
                "slot": {"type": ["string", "integer", "null"]},
                "gradient": {"type": "number"},
            },
            "required": ["key"],
            "additionalProperties": False,
        },
    ],
}
NESTED: Schema = {
    "description": "a number, or nested arrays of numbers of a regular shape",
    "anyOf": [{"type": ["number", "boolean"]}, {"type": "array", "items": {"$ref": "#/$defs/nested"}}],
}


def reference(name: str) -> Schema:
    """What stands for a definition."""
    return {"$ref": f"#/$defs/{name}"}


def entries(values: Schema) -> Schema:
    """One of the two dictionaries: an object, or where a key is an integer, [key, value] pairs."""
    pair = {"type": "array", "prefixItems": [reference("key"), values], "items": False, "minItems": 2}
    return {"anyOf": [{"type": "object", "additionalProperties": values}, {"type": "array", "items": pair}]}


def stored(name: str, settings: Schema, required: list[str]) -> Schema:
    """An object that names a class, with its settings."""
    properties = {"type": {"const": name}, **settings}
    return {
        "type": "object",
        "properties": properties,
        "required": ["type", *required],
        "additionalProperties": False,
    }


def one_of(kind: str, names: Iterable[str]) -> Schema:
    """An object of one of these classes, chosen by its type."""
    chosen = [{"if": {"properties": {"type": {"const": name}}}, "then": reference(f"{kind}.{name}")} for name in names]
    return {"type": "object", "required": ["type"], "properties": {"type": {"enum": list(names)}}, "allOf": chosen}


def of_class(cls: Any) -> Schema:
    """The schema of a registered class, by the checks of its settings."""
    fields = [each for each in dataclasses.fields(cls) if each.init]
    settings = {each.name: check.schema if (check := each.metadata.get("check")) else {} for each in fields}
    missing = [each.name for each in fields if each.default is MISSING and each.default_factory is MISSING]
    return stored(cls.__name__, settings, missing)


def classes(module: Any) -> dict[str, type]:
    """The concrete classes that a module exports, by name."""
    found = {name: getattr(module, name) for name in module.__all__}
    return {
        name: cls for name, cls in sorted(found.items())
        if isinstance(cls, type) and dataclasses.is_dataclass(cls) and graphdl.registry.is_registered(cls)
    }  # fmt: skip


def schema() -> Schema:
    """The whole schema."""
    levels = {"operators": entries(reference("operator")), "connectivity": entries(reference("feeds"))}
    keys = {"anyOf": [{"type": "null"}, {"type": "array", "items": reference("key")}]}
    computing = {name: of_class(cls) for name, cls in classes(operators).items() if issubclass(cls, Operator)}
    computing["Shared"] = stored("Shared", {"key": reference("key")}, ["key"])
    computing["Block"] = stored("Block", {**levels, "inputs": keys, "outputs": keys}, ["operators", "connectivity"])
    filling = {name: of_class(cls) for name, cls in classes(initializers).items()}
    definitions = {
        "key": KEY,
        "feeds": {"type": "array", "items": FEED},
        "nested": NESTED,
        "operator": one_of("operator", computing),
        "initializer": one_of("initializer", filling),
        **{f"operator.{name}": each for name, each in computing.items()},
        **{f"initializer.{name}": each for name, each in filling.items()},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A network of graphdl",
        "description": "The two dictionaries of a network: what each node computes, and which nodes it feeds. Custom "
        "operators are not part of this schema. Written by python -m docs.schema.",
        "type": "object",
        "properties": {"format": {"const": FORMAT}, "version": {"const": VERSION}, **levels},
        "required": ["format", "version", "operators", "connectivity"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def page() -> str:
    """The text of the file, with a line for each definition."""
    whole = schema()
    definitions = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in whole.pop("$defs").items()]
    lines = [f"{json.dumps(name)}: {json.dumps(each)}," for name, each in whole.items()]
    return "\n".join(["{", *lines, '"$defs": {', ",\n".join(definitions), "}}"]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
