"""The classes that a file may name: operators, Shared, initializers and schedules, by class name.

A file never holds code. It names a registered class and the settings to construct it with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform, overload

from graphdl.errors import FileFormatError, SettingError, did_you_mean
from graphdl.settings import setting

C = TypeVar("C", bound=type)

_registered: dict[tuple[str, str], type] = {}
"""(the place within which a class is meant by its name, or "" for any; name) -> class."""


@overload
def register(cls: C) -> C: ...


@overload
def register(*, kw_only: bool = False, within: str = "") -> Callable[[C], C]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(setting, field))
def register(cls: type | None = None, *, kw_only: bool = False, within: str = "") -> object:
    """A class decorator: make the class a frozen dataclass, unless it is one already, and let files name it.

    With `@register(kw_only=True)` all settings are keyword-only. With `@register(within="operators")` the name means
    this class only where a file names an operator, and may belong to another class elsewhere.

    Errors: SettingError if the class defines its own __init__ and is not a dataclass, or if its name belongs to another
    class.
    """
    if cls is None:
        return lambda cls: _register(cls, kw_only, within)
    return _register(cls, kw_only, within)


def _register(cls: type, kw_only: bool, within: str) -> type:
    if not isinstance(cls, type):
        raise SettingError(f"register: {cls!r} is not a class. Write @graphdl.register above a class.")
    if "__dataclass_params__" not in vars(cls):
        if "__init__" in vars(cls):
            raise SettingError(
                f"register: {cls.__name__} is not a dataclass, so its settings cannot be stored. Declare them as "
                "fields in place of __init__: size: int = 3."
            )
        cls = dataclass(frozen=True, kw_only=kw_only)(cls)
    other = _registered.get((within, cls.__name__), cls)
    if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise SettingError(
            f"register: the name {cls.__name__} belongs to {other.__module__}.{other.__qualname__}. "
            "Give the class another name."
        )
    _registered[within, cls.__name__] = cls
    return cls


def meant_class(name: str) -> str:
    """' Did you mean ...?' for the registered class whose name is closest, or '' if none is close."""
    known = [cls for _, cls in _registered]
    return did_you_mean(name, known).replace("'", "").replace("?", "(...) of graphdl?")


def is_registered(cls: type) -> bool:
    """Whether a file may name this class."""
    return any(known is cls for known in _registered.values())


def registered_class(name: object, within: str = "") -> type:
    """The class registered under a name, for use within a place. Raises FileFormatError if there is none."""
    known = {each: cls for (place, each), cls in _registered.items() if place in ("", within)}
    if not isinstance(name, str) or name not in known:
        meant = did_you_mean(name, known) if isinstance(name, str) else ""
        raise FileFormatError(
            f"{name!r} is not a registered operator or initializer.{meant} A custom operator is registered by "
            "@graphdl.register, before the file is read."
        )
    return _registered.get((within, name), known[name])


def defined_outside(maker: object) -> bool:
    """Whether the class of an operator, an optimizer or a penalty is a custom one, defined outside graphdl."""
    return not type(maker).__module__.startswith("graphdl.")
