"""Declaration and checks of settings, for operators and initializers.

    @register
    class Conv2d(Operator):
        out_channels: int = setting(size())
        stride: int | tuple[int, ...] = setting(sizes(), default=1)
        bias: bool | Initializer = setting(either(flag(), initializer()), default=True)

A Check says what a value must be. `Settings` runs the checks of all fields when an instance is made. Relations between
settings are checked in `check_settings`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from functools import lru_cache
from typing import Any, Self, TypeGuard, get_args

import numpy

from graphdl.errors import SettingError, counted, did_you_mean, listing
from graphdl.shown import received

MOST_CLASSES = 1024
"""The number of classes of which something is kept: programs may make classes without end."""

LARGEST_INTEGER = 2**63 - 1
"""The largest whole number of a setting in a file."""


@dataclass(frozen=True)
class Check:
    """What a value must be.

    expected  completes "name must be ...": "a whole number of at least 1"
    holds     whether a value is that
    hint      a sentence for a value that is not, or ""
    schema    the JSON Schema of such values in files, where tuples are arrays
    """

    expected: str
    holds: Callable[[Any], bool]
    hint: Callable[[Any], str] = lambda value: ""
    schema: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, owner: str, name: str, value: object) -> None:
        """Raise SettingError if the value is not what it must be."""
        if not self.holds(value):
            found, hint = received(value), self.hint(value)
            if isinstance(value, type):
                kind, own = value.__name__, not value.__module__.startswith("torch.")
                found = f"the class {kind}: write {kind}(...)" if own else f"the class {value.__module__}.{kind}"
            raise SettingError(f"{owner}: {name} must be {self.expected}, not {found}{hint and f'. {hint}'}")


def integer() -> Check:
    """Any whole number."""
    return Check("a whole number", _is_integer, schema={"type": "integer"})


def size(least: int = 1, most: float = math.inf) -> Check:
    """A whole number of at least `least`, and at most `most`."""
    bound = f"of at least {least}" if most == math.inf else f"from {least} to {most:,}"
    schema = {"type": "integer", "minimum": least, "maximum": min(most, LARGEST_INTEGER)}
    return Check(f"a whole number {bound}", lambda value: _is_integer(value) and least <= value <= most, schema=schema)


def sizes(least: int = 1) -> Check:
    """A whole number of at least `least`, or a tuple of them."""
    one = size(least)
    return Check(
        f"{one.expected}, or a tuple of them",
        lambda value: value != () and all(map(one.holds, value if isinstance(value, tuple) else (value,))),
        schema=one_or_more(one.schema),
    )


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    """A finite number from `least` to `most`."""
    bound = (
        "" if least == -math.inf else f" of at least {least:g}" if most == math.inf else f" from {least:g} to {most:g}"
    )
    schema = {name: value for name, value in (("minimum", least), ("maximum", most)) if math.isfinite(value)}
    return Check(
        f"a finite number{bound}",
        lambda value: _is_number(value) and least <= value <= most,
        schema={"type": "number", **schema},
    )


def any_number() -> Check:
    """Any number, even infinite or nan."""
    return Check(
        "a number",
        lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
        schema={"type": "number"},
    )


def probability() -> Check:
    """A number from 0 to 1."""
    return Check("a number from 0 to 1", number(0, 1).holds, schema=number(0, 1).schema)


def flag() -> Check:
    """True or False."""
    return Check("True or False", lambda value: isinstance(value, bool), schema={"type": "boolean"})


def choice(literal: Any) -> Check:
    """One of the words of a typing.Literal."""
    choices = get_args(literal)
    return Check(
        " or ".join(map(repr, choices)),
        lambda value: isinstance(value, str) and value in choices,
        lambda value: did_you_mean(value, choices).lstrip(),
        {"enum": list(choices)},
    )


def initializer() -> Check:
    """An initializer, which is an instance and not a class."""
    return Check(
        "an initializer such as Normal(0, 1)",
        lambda value: callable(value) and not isinstance(value, type) and not _of_torch(value),
        lambda value: "torch.nn.init is not used: take one of graphdl.initializers" if _of_torch(value) else "",
        schema={"$ref": "#/$defs/initializer"},
    )


def either(*checks: Check) -> Check:
    """A value that one of several checks accepts."""
    return Check(
        ", or ".join(check.expected for check in checks),
        lambda value: any(check.holds(value) for check in checks),
        lambda value: next(filter(None, (check.hint(value) for check in checks)), ""),
        {"anyOf": [check.schema for check in checks]},
    )


def optional(check: Check) -> Check:
    """None, for a setting that may be left out, or a value that a check accepts."""
    schema = {"anyOf": [check.schema, {"type": "null"}]}
    return Check(check.expected, lambda value: value is None or check.holds(value), check.hint, schema)


def array_of(schema: Mapping[str, Any], least: int = 1) -> Mapping[str, Any]:
    """The JSON Schema of a tuple of values of another one."""
    return {"type": "array", "items": schema, "minItems": least}


def one_or_more(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of a value of another one, or of a tuple of them."""
    return {"anyOf": [schema, array_of(schema)]}


def setting(check: Check, *, default: Any = MISSING, kw_only: bool | None = None) -> Any:
    """Declare a field of a dataclass with a check, and with a default if the field is optional."""
    return field(default=default, kw_only=MISSING if kw_only is None else kw_only, metadata={"check": check})


class Settings:
    """Base class of frozen dataclasses whose fields are checked settings."""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Raise SettingError for settings that the class does not have."""
        known, required, several = _arguments(cls)  # type: ignore[arg-type]  # a class is hashable
        for name in settings if not several else ():
            if name not in known:
                meant = did_you_mean(name, known) or f" It has {listing(known) or 'no settings'}."
                raise SettingError(f"{cls.__name__} has no setting {name!r}.{meant}")
        positional = [name for name, keyword in known.items() if not keyword]
        if len(args) > len(positional) and not several:
            takes = listing(positional) or "no settings by position"
            raise SettingError(
                f"{cls.__name__} was given {counted(len(args), 'setting')} by position, and takes {takes}. Write "
                "others by name."
            )
        held = {*positional[: len(args)], *settings}
        if len(held) < len(args) + len(settings) and not several:
            twice = next(name for name in positional if name in settings)
            raise SettingError(f"{cls.__name__}: {twice} is given twice, by position and by name.")
        if lacking := [name for name in required if name not in held]:
            check = dict(_checks(cls)).get(lacking[0])  # type: ignore[arg-type]
            wanted = f" It must be {check.expected}. {check.hint(None)}".rstrip(". ") + "." if check else ""
            raise SettingError(f"{cls.__name__}: {lacking[0]} is missing.{wanted}")
        return super().__new__(cls)

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles are made of the fields, without `__new__`."""
        return _bare, (type(self),), self.__getstate__()

    def __post_init__(self) -> None:
        """Check every setting, then the relations between them. Numbers of NumPy become those of Python."""
        cls: Any = type(self)
        for name, check in _checks(cls):
            given = getattr(self, name)
            value = _plain(given)
            if value is not given:
                object.__setattr__(self, name, value)
            if check is not None:
                check(cls.__name__, name, value)
        self.check_settings()

    def check_settings(self) -> None:
        """Raise SettingError if settings that are valid by themselves contradict each other."""


def _bare(cls: type) -> object:
    """An instance without settings, which a copy or a pickle fills."""
    return object.__new__(cls)


@lru_cache(maxsize=MOST_CLASSES)
def _arguments(cls: type) -> tuple[dict[str, bool], list[str], bool]:
    """The arguments of a class, each with whether it is given by name only; the required ones; whether it takes any."""
    found = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    several = any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in found)
    required = [each.name for each in found if each.default is each.empty]
    return {each.name: each.kind == each.KEYWORD_ONLY for each in found}, [] if several else required, several


@lru_cache(maxsize=MOST_CLASSES)
def _checks(cls: type) -> tuple[tuple[str, Check | None], ...]:
    """The settings of a class by name, with their checks."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return tuple((each.name, each.metadata.get("check")) for each in fields if each.init)


def chosen_settings(instance: object) -> dict[str, object]:
    """The settings of a dataclass instance that differ from their defaults.

    A setting without a default is always listed. An object that is not a dataclass has no settings.
    """
    chosen: dict[str, object] = {}
    if not dataclasses.is_dataclass(instance):
        return chosen
    for each in dataclasses.fields(instance):
        default = each.default_factory() if callable(each.default_factory) else each.default
        value = getattr(instance, each.name)
        if each.init and (type(value) is not type(default) or value != default):
            chosen[each.name] = value
    return chosen


def described(instance: object, *without: str) -> list[str]:
    """The settings that differ from their defaults as short texts; `without` names settings to leave out.

    >>> from graphdl import LayerNorm, MaxPool2d
    >>> described(LayerNorm(25, eps=1e-3, bias=False)), described(MaxPool2d(2, stride=(1, 2), ceil_mode=True))
    (['normalized_shape 25', 'eps 0.001', 'no bias'], ['kernel_size 2', 'stride 1×2', 'ceil_mode'])
    """
    return [_text(name, value) for name, value in chosen_settings(instance).items() if name not in without]


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, tuple):
        return f"{name} {'×'.join(map(str, value))}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _plain(value: object) -> object:
    """A setting with Python's numbers in place of those of NumPy, also in tuples and dicts; itself if it has none."""
    if isinstance(value, numpy.generic):
        return value.item()
    if type(value) is tuple:
        parts = tuple(map(_plain, value))
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else parts
    if type(value) is dict:
        found = {name: _plain(each) for name, each in value.items()}
        return value if all(found[name] is value[name] for name in value) else found
    return value


def _of_torch(value: object) -> bool:
    """Whether it is a function of torch.nn.init."""
    return getattr(value, "__module__", "") == "torch.nn.init"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_whole_number(value: object) -> TypeGuard[int]:
    """Whether it is a whole number of Python or NumPy, and not True or False."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
