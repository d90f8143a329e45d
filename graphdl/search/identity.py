"""What makes a member the same in a sweep that is run again: a digest of all that its training depends on.

That is its network with the first parameters, its data, its optimizer and the arguments. Operators, optimizers and
penalties are known by their settings, metrics and callbacks by the names of their functions and classes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
from collections.abc import Sequence
from typing import Any

from graphdl.errors import SettingError
from graphdl.search.member import Member, Recipe
from graphdl.search.shared import SharedData
from graphdl.training.runs.stored import bytes_of, digest_of_tensors

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
"""In the text of an object that does not say what it holds."""


def name_of(member: Member, recipe: Recipe, digest: str) -> str:
    """The name of a member's file: a digest of all that its training depends on, the data by their own digest.

    Raises SettingError for objects that another process could not recognise.
    """
    net = member.net
    held = hashlib.sha256(digest.encode())
    operators = [(key, _text(f"the operator of node {key!r}", each)) for key, each in net.operators.items()]
    optimizer = _text("the optimizer", member.optimizer)
    penalties = [_text(f"penalties[{k}]", each) for k, each in enumerate(member.penalties)]
    metrics = [_name(f"metrics[{k}]", each) for k, each in enumerate(recipe.metrics)]
    callbacks = [(_name(f"callbacks[{k}]", each), _plain(each)) for k, each in enumerate(recipe.callbacks)]
    rest = (recipe.epochs, recipe.batch_size, recipe.shuffle, recipe.clip_norm, recipe.clip_value, recipe.accumulate)
    declared = (operators, net.connectivity, net.outputs, sorted(map(str, net.engine.frozen)))
    held.update(repr((declared, optimizer, penalties, member.seed, metrics, callbacks, rest)).encode())
    held.update(digest_of_tensors(net.state_dict()).encode())
    held.update(bytes_of(net.generator.get_state()))
    for rows in (member.rows, member.validation_rows):
        held.update(b"none" if rows is None else bytes_of(rows))
    return f"{held.hexdigest()[:40]}.safetensors"


def digest_of(members: Sequence[Member], *data: SharedData | None) -> str:
    """A digest of the data that the members use."""
    held = hashlib.sha256()
    for each in data:
        seen: set[int] = set()
        for member in members if each is not None else ():
            for name, tensor in each.named(member.net).items():  # type: ignore[union-attr]
                if tensor.data_ptr() not in seen:
                    seen.add(tensor.data_ptr())
                    held.update(digest_of_tensors({name: tensor}).encode())
        held.update(b"end")
    return held.hexdigest()


def _text(what: str, given: object) -> str:
    """The class and the settings of an object. Raises SettingError for settings whose text is not a value."""
    kind, text = f"{type(given).__module__}.{type(given).__qualname__}", repr(given)
    if not ADDRESS.search(text):
        return f"{kind} {text}"
    if type(given).__repr__ is object.__repr__ and not getattr(given, "__dict__", None):
        return kind  # it has no settings
    if dataclasses.is_dataclass(given):
        for field in dataclasses.fields(given):
            if ADDRESS.search(repr(getattr(given, field.name))):
                what, text = f"{field.name} of {what}", repr(getattr(given, field.name))
    raise SettingError(
        f"checkpoint: {what} is {text:.200}, which does not say what it holds, so that a later run could not recognise "
        "it. Declare its class as a frozen dataclass, or give it a __repr__ that shows its settings."
    )


def _name(what: str, given: Any) -> str:
    """A metric or a callback. Raises SettingError for a function without a unique name."""
    if isinstance(given, str):
        return given
    if not inspect.isfunction(given) and not inspect.isbuiltin(given):
        return f"{type(given).__module__}.{type(given).__qualname__}"
    if "<" in given.__qualname__:
        raise SettingError(
            f"checkpoint: {what} is {given.__qualname__}, and a later run could not tell it from others of that name. "
            "Define it at the top level of a module, by def."
        )
    return f"{given.__module__}.{given.__qualname__}"


def _plain(callback: object) -> list[Any]:
    """The settings of a callback before training, as far as they are plain."""
    held, plain = getattr(callback, "__dict__", {}), (bool, int, float, str, type(None))
    return sorted((name, value) for name, value in held.items() if isinstance(value, plain))
