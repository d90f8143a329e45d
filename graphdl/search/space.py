"""The settings of a sweep: a grid, a list of settings, or settings drawn at random."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy

from graphdl.data.checks import whole_number
from graphdl.errors import SettingError, did_you_mean, listing

Setting: TypeAlias = dict[str, Any]
"""One choice of hyperparameters, by name."""

SEED = "seed"
"""The name of the setting that seeds the network and the order of its data."""


class Random:
    """Settings drawn at random, independently: an iterable of n settings, always the same for a seed.

    choices  {name: values or distribution}; a distribution has `rvs(random_state=)`, as those of scipy.stats have

    Source: Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012. Raises SettingError.

    >>> from graphdl.search import Random
    >>> [setting["width"] in (8, 16) for setting in Random(3, {"width": [8, 16]}, seed=0)]
    [True, True, True]
    """

    def __init__(self, n: int, choices: Mapping[str, Any], *, seed: int = 0) -> None:
        self.n, self.seed = whole_number("n", n, least=1), whole_number("seed", seed, least=0)
        self.choices = _checked_names(choices, "Random")
        for name, choice in self.choices.items():
            if not hasattr(choice, "rvs"):
                self.choices[name] = _values(name, choice)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Setting]:
        generator = numpy.random.default_rng(self.seed)
        for _ in range(self.n):
            yield {name: _draw(name, choice, generator) for name, choice in self.choices.items()}


def _draw(name: str, choice: Any, generator: numpy.random.Generator) -> Any:
    if not hasattr(choice, "rvs"):
        return choice[generator.integers(len(choice))]
    try:
        drawn = choice.rvs(random_state=generator)
        return drawn.item() if isinstance(drawn, (numpy.generic, numpy.ndarray)) else drawn
    except (TypeError, ValueError) as error:
        raise SettingError(f"Random: {name!r} cannot be drawn: rvs(random_state=...) failed: {error}") from error


def settings_of(over: object) -> list[Setting]:
    """The settings of a sweep, in order. Raises SettingError for something else, and where there are none."""
    if isinstance(over, Mapping):
        grid = {name: _values(name, values) for name, values in _checked_names(over, "over").items()}
        return [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]
    if isinstance(over, str) or not isinstance(over, Iterable):
        raise SettingError(
            f"over must be a grid {{name: values}}, a list of settings, or Random(n, {{...}}), not {over!r:.200}."
        )
    settings = [_checked_names(setting, f"over[{k}]") for k, setting in enumerate(over)]
    if not settings:
        raise SettingError("over has no settings: there is nothing to train.")
    return settings


def _checked_names(given: object, where: str) -> Setting:
    if not isinstance(given, Mapping):
        raise SettingError(f"{where} must be a dictionary by name, not {given!r:.200}.")
    for name in given:
        if not isinstance(name, str):
            raise SettingError(f"{where}: the name of a setting must be a string, not {name!r}.")
    return dict(given)


def _values(name: str, values: object) -> Sequence[Any]:
    """The values of a setting, as a sequence with at least one."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise SettingError(f"over: {name!r} must be a list of values, not {values!r:.200}: write [{values!r:.60}].")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if not listed:
        raise SettingError(f"over: {name!r} has no values.")
    return listed


class Reading(Setting):
    """A setting that notes which of its values are read, in a set of names."""

    def __init__(self, setting: Setting, read: set[str]) -> None:
        super().__init__(setting)
        self._read = read

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._read.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of that name, or the default."""
        self._read.add(name)
        return super().get(name, default)


def _reading_all(method: str) -> Any:
    """A method of dict after which all values count as read."""

    def read(self: Reading, *given: Any) -> Any:
        self._read.update(dict.keys(self))
        return getattr(dict, method)(self, *given)

    return read


for _method in ("__iter__", "__or__", "__ror__", "copy", "items", "keys", "pop", "values"):
    setattr(Reading, _method, _reading_all(_method))


def check_all_differ(settings: Sequence[Setting], read: set[str]) -> None:
    """Raise SettingError if settings differ in nothing that was read: their networks would be the same."""
    unread = {name for setting in settings for name in setting} - read - {SEED}
    different = {repr(setting): {k: v for k, v in setting.items() if k not in unread} for setting in settings}
    if len({repr(used) for used in different.values()}) < len(different):
        hints = "".join(did_you_mean(name, read - settings[0].keys()) for name in sorted(unread))
        raise SettingError(
            f"over: neither build nor optimizer reads {listing(map(repr, sorted(unread)))}, so some networks would be "
            f"the same.{hints} They read {listing(map(repr, sorted(read))) or 'nothing'}."
        )


def without_seed(setting: Setting) -> Setting:
    """What a setting chooses beside its seed."""
    return {name: value for name, value in setting.items() if name != SEED}


def described(setting: Setting) -> str:
    """A setting in a line, for errors, tables and pictures.

    >>> described({"lr": 0.001, "width": 25})
    'lr 0.001, width 25'
    """
    return ", ".join(f"{name} {text_of(value)}" for name, value in setting.items())


def text_of(value: object) -> str:
    """A value in a table: numbers briefly, functions, classes and stored operators by name."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping) and list(value) == ["type"]:
        return str(value["type"])
    return str(getattr(value, "__name__", value))
