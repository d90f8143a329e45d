"""The classes that a file may name: operators, Shared and initializers, by their class's name.

A file never holds code. It names a registered class and the settings to construct it with.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from graphdl.errors import FileFormatError, SettingError, did_you_mean

C = TypeVar("C", bound=type)

_registered: dict[str, type] = {}


def register(cls: C) -> C:
    """Let files name this operator or initializer: a class decorator, written above @dataclass.

    Errors: SettingError if the class is no dataclass, or if its name belongs to another class.
    """
    if not isinstance(cls, type):
        raise SettingError(f"register: {cls!r} is no class. Write @graphdl.register above a class.")
    if "__dataclass_params__" not in vars(cls):
        raise SettingError(
            f"register: {cls.__name__} is no dataclass, so its settings cannot be stored. Write @graphdl.register "
            "above @dataclass(frozen=True)."
        )
    other = _registered.get(cls.__name__, cls)
    if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise SettingError(
            f"register: the name {cls.__name__} belongs to {other.__module__}.{other.__qualname__}. "
            "Give the class another name."
        )
    _registered[cls.__name__] = cls
    return cls


def is_registered(cls: type) -> bool:
    """Whether a file may name this class."""
    return _registered.get(cls.__name__) is cls


def registered_class(name: object) -> type:
    """The class of that name. Raises FileFormatError for a name that nobody registered."""
    if not isinstance(name, str) or name not in _registered:
        raise FileFormatError(
            f"{name!r} is no registered operator or initializer.{did_you_mean(name, _registered)} "
            "An operator of your own is registered by @graphdl.register, before the file is read."
        )
    return _registered[name]


def settings(instance: object) -> dict[str, object]:
    """The settings of a dataclass instance that differ from their defaults.

    A setting without default is always listed. An instance of no dataclass has none.
    """
    chosen: dict[str, object] = {}
    if not dataclasses.is_dataclass(instance):
        return chosen
    for field in dataclasses.fields(instance):
        default = field.default_factory() if callable(field.default_factory) else field.default
        value = getattr(instance, field.name)
        if field.init and (type(value) is not type(default) or value != default):
            chosen[field.name] = value
    return chosen
