"""The settings of a sweep: a grid, a list of settings, or settings drawn at random."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy

from graphdl.data.checks import whole_number
from graphdl.errors import SettingError, counted, did_you_mean, listing
from graphdl.settings import Settings, chosen_settings

Setting: TypeAlias = dict[str, Any]
"""One choice of hyperparameters, by name."""

SEED = "seed"
"""The name of the setting that seeds the network and the order of its data."""

SEEDS = "To train each setting several times, add 'seed': range(3)."

MOST_REPEATED = 10_000
"""How often Random draws earlier settings again before it concludes that there are no others."""


class Random:
    """n different settings drawn at random: an iterable that gives the same ones every time.

    choices  {name: values or distribution}; values are a list such as [8, 16], and a range is a distribution with
             `rvs(random_state=)`, such as scipy.stats.loguniform(1e-4, 1e-1), scipy.stats.uniform(low, high - low) or
             scipy.stats.randint(low, high)

    Settings are drawn independently, and again if they equal an earlier one. Source: Bergstra and Bengio, "Random
    search for hyper-parameter optimization", 2012. Raises SettingError, for example if there are fewer than n settings.

    >>> from graphdl.search import Random
    >>> [setting["width"] in (8, 16) for setting in Random(2, {"width": [8, 16]}, seed=0)]
    [True, True]
    """

    def __init__(self, n: int, choices: Mapping[str, Any], *, seed: int = 0) -> None:
        self.n, self.seed = whole_number("n", n, least=1), whole_number("seed", seed, least=0)
        self.choices = _checked_names(choices, "Random")
        for name, choice in self.choices.items():
            if not hasattr(choice, "rvs"):
                self.choices[name] = _values("Random", name, _no_range(name, choice))
        if all(isinstance(choice, list) for choice in self.choices.values()):
            known = math.prod(len(set(map(repr, choice))) for choice in self.choices.values())
            if known < self.n:
                raise SettingError(f"Random: n is {n}, but the choices have only {counted(known, 'setting')}.")

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Setting]:
        generator, drawn = numpy.random.default_rng(self.seed), set[str]()
        finite = all(isinstance(choice, list) for choice in self.choices.values())
        repeated = 0
        while len(drawn) < self.n:
            setting = {name: _draw(name, choice, generator) for name, choice in self.choices.items()}
            if _identity(setting) not in drawn:
                drawn.add(_identity(setting))
                yield setting
            elif (repeated := repeated + 1) > MOST_REPEATED and not finite:
                raise SettingError(
                    f"Random: n is {self.n}, but only {counted(len(drawn), 'different setting')} were drawn."
                )


def _no_range(name: str, choice: object) -> object:
    """The choice. Raises SettingError for a tuple of two numbers, which may be meant as a range."""
    if isinstance(choice, tuple) and len(choice) == 2 and all(isinstance(end, (int, float)) for end in choice):
        low, high = choice
        raise SettingError(
            f"Random: {name!r} is {choice!r}: write [{low!r}, {high!r}] to choose one of two values, or a range as a "
            f"distribution, such as scipy.stats.uniform({low!r}, {high!r} - {low!r})"
            f"{f' or scipy.stats.loguniform({low!r}, {high!r})' if 0 < low < high else ''}."
        )
    return choice


def _identity(setting: Setting) -> str:
    """A text that is the same for settings of the same networks."""
    return repr(sorted(({SEED: 0} | setting).items(), key=lambda item: item[0]))


def _draw(name: str, choice: Any, generator: numpy.random.Generator) -> Any:
    if not hasattr(choice, "rvs"):
        return choice[generator.integers(len(choice))]
    try:
        drawn = choice.rvs(random_state=generator)
        return drawn.item() if isinstance(drawn, (numpy.generic, numpy.ndarray)) else drawn
    except (TypeError, ValueError) as error:
        hint = ". Write its parameters, such as loguniform(1e-4, 1e-1)" if callable(choice) else ""
        raise SettingError(f"Random: {name!r} cannot be drawn: rvs(random_state=...) failed: {error}{hint}.") from error


def settings_of(over: object) -> list[Setting]:
    """The settings of a sweep, in order. Raises SettingError for something else, and where there are none."""
    if isinstance(over, Mapping):
        if not over:
            raise SettingError("over is {}: give a grid such as {'lr': [1e-3, 1e-2]}, or [{}] for a single setting.")
        grid = {name: _values("over", name, values) for name, values in _checked_names(over, "over").items()}
        for name, values in grid.items():
            if repeated := [value for value, times in Counter(map(repr, values)).items() if times > 1]:
                raise SettingError(f"over: {name!r} has {repeated[0]} more than once, so some networks would be the "
                                   f"same. {SEEDS}")  # fmt: skip
        return [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]
    if isinstance(over, str) or not isinstance(over, Iterable):
        raise SettingError(
            f"over must be a grid {{name: values}}, a list of settings, or Random(n, {{...}}), not {over!r:.200}."
        )
    settings = [_checked_names(setting, f"over[{k}]") for k, setting in enumerate(over)]
    if not settings:
        raise SettingError("over has no settings: there is nothing to train.")
    first: dict[str, int] = {}
    for k, setting in enumerate(settings):
        if (same := first.setdefault(_identity(setting), k)) != k:
            raise SettingError(f"over[{k}] is the setting over[{same}] again, so their networks would be the same. "
                               f"{SEEDS}")  # fmt: skip
    return settings


def _checked_names(given: object, where: str) -> Setting:
    if not isinstance(given, Mapping):
        raise SettingError(f"{where} must be a dictionary {{name: value}}, not {given!r:.200}.")
    for name in given:
        if not isinstance(name, str):
            raise SettingError(f"{where}: the name of a setting must be a string, not {name!r}.")
    return {name: value.item() if isinstance(value, numpy.generic) else value for name, value in given.items()}


def _values(where: str, name: str, values: object) -> list[Any]:
    """The values of a setting, at least one; numbers of numpy as those of Python."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise SettingError(f"{where}: {name!r} must be a list of values, not {values!r:.200}: write [{values!r:.60}].")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if not listed:
        raise SettingError(f"{where}: {name!r} has no values.")
    return [value.item() if isinstance(value, numpy.generic) else value for value in listed]


class NotingSetting(Setting):
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

    def read(self: NotingSetting, *given: Any) -> Any:
        self._read.update(dict.keys(self))
        return getattr(dict, method)(self, *given)

    return read


for _method in ("__iter__", "__or__", "__ror__", "copy", "items", "keys", "pop", "values"):
    setattr(NotingSetting, _method, _reading_all(_method))


def check_all_read(settings: Sequence[Setting], read: set[str]) -> None:
    """Raise SettingError for a setting that nothing reads: it would change nothing."""
    unread = sorted({name for setting in settings for name in setting} - read - {SEED})
    if unread:
        hints = "".join(did_you_mean(name, read - settings[0].keys()) for name in unread)
        raise SettingError(
            f"over: neither build nor optimizer reads {listing(map(repr, unread))}, so it would change nothing.{hints} "
            f"They read {listing(map(repr, sorted(read))) or 'nothing'}."
        )


def without_seed(setting: Setting) -> Setting:
    """A setting without its seed."""
    return {name: value for name, value in setting.items() if name != SEED}


def described(setting: Setting) -> str:
    """A setting in a line, for errors, tables and pictures.

    >>> described({"lr": 0.001, "width": 25})
    'lr 0.001, width 25'
    """
    return ", ".join(f"{name} {text_of(value)}" for name, value in setting.items())


def text_of(value: object) -> str:
    """A value in a table: numbers briefly, functions and classes by name, operators alike as objects and in files.

    >>> from graphdl import LeakyReLU, Tanh
    >>> text_of(Tanh()), text_of({"type": "Tanh"}), text_of(LeakyReLU(0.2))
    ('Tanh', 'Tanh', 'LeakyReLU(negative_slope=0.2)')
    """
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Settings):
        return _call(type(value).__name__, chosen_settings(value))
    if isinstance(value, Mapping) and "type" in value:
        return _call(str(value["type"]), {name: held for name, held in value.items() if name != "type"})
    return str(getattr(value, "__name__", value))


def _call(name: str, settings: Mapping[str, Any]) -> str:
    """A class with its settings, as it is written in Python."""
    given = ", ".join(f"{setting}={text_of(value)}" for setting, value in settings.items())
    return f"{name}({given})" if given else name
