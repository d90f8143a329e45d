"""sweep: networks over settings, seeds and folds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphdl.calls import explained
from graphdl.errors import GraphDLError, SettingError, did_you_mean, listing
from graphdl.network import Network
from graphdl.optim import Optimizer, Penalty
from graphdl.search.fit_all import check_penalties, train
from graphdl.search.folds import count_folds, make_folds
from graphdl.search.halving import Halving
from graphdl.search.member import Member, Recipe
from graphdl.search.result import COLUMNS, Sweep
from graphdl.search.shared import SharedData
from graphdl.search.space import SEED, NotingSetting, Setting, check_all_read, described, settings_of, without_seed
from graphdl.search.training import Backend, Options
from graphdl.training import Metric

FIXED = ("epochs", "batch_size")
"""Arguments of training that may be expected among the settings."""


@explained('sweep(build, inputs, targets, over={"width": [8, 25]}, optimizer=Adam(lr=1e-3), epochs=10, batch_size=50)')
def sweep(
    build: Callable[[Setting], Any],
    inputs: Any,
    targets: Any = None,
    *,
    over: Any,
    optimizer: Optimizer | Callable[[Setting], Optimizer],
    epochs: int,
    batch_size: int,
    folds: Any = None,
    validation: Any = None,
    metrics: Sequence[str | Metric] = (),
    callbacks: Sequence[Any] = (),
    shuffle: bool = True,
    threads: int | None = None,
    compile: bool = True,  # noqa: A002
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    penalties: Sequence[Penalty] | Callable[[Setting], Sequence[Penalty]] = (),
    backend: Backend | None = None,
    halving: Halving | None = None,
    checkpoint: str | Path | None = None,
    memory: int | None = None,
    by: str | None = None,
    maximise: bool | None = None,
    progress: bool = True,
) -> Sweep:
    """Train a network for every setting and fold; return their results.

    build      setting -> Network, or (operators, connectivity), of which a network with the setting's seed is made
    over       a grid {name: values}, of which all combinations are trained; a list of settings, which must differ; or
               Random(n, {...}). Something must read each name: settings that change nothing are an error
    optimizer  an optimizer, or a function setting -> optimizer
    penalties  terms added to the loss, such as (L2(1e-3),), or a function setting -> penalties
    folds      a number of folds for cross-validation, or a splitter of scikit-learn: each setting is trained once for
               each fold, and evaluated on that fold

    "seed" in a setting seeds its network and the order of its data, 0 by default; the summary takes the mean over
    seeds. The other arguments are those of `fit_all`. Raises SettingError, which names the setting, before training.
    """
    members, data = _members(build, optimizer, penalties, over, folds), SharedData("inputs", inputs, targets)
    if folds is not None:
        if validation is not None:
            raise SettingError("folds and validation cannot be combined: a network is evaluated on its fold.")
        splits = make_folds(folds, members[0].net, data)
        for member in members:
            member.rows, member.validation_rows = splits[member.fold or 0]
    recipe = Recipe(
        epochs, batch_size, shuffle, metrics, callbacks, threads, compile, clip_norm, clip_value, accumulate
    )
    options = Options(backend, halving, checkpoint, memory, by, maximise, progress)
    return train(members, recipe, options, data, validation)


def _members(build: Any, optimizer: Any, penalties: Any, over: Any, folds: Any) -> list[Member]:
    """The members of all settings and folds."""
    settings, read = settings_of(over), set[str]()
    numbers = range(count_folds(folds)) or [None]
    members = [_member(build, optimizer, penalties, setting, fold, read) for setting in settings for fold in numbers]
    candidates: dict[str, int] = {}
    for number, member in enumerate(members):
        key = repr(sorted(without_seed(member.setting).items()))
        member.number, member.candidate = number, candidates.setdefault(key, len(candidates))
    check_all_read(settings, read)
    return members


def _member(build: Any, optimizer: Any, penalties: Any, setting: Setting, fold: int | None, read: set[str]) -> Member:
    """The member of a setting; names that are read are added to `read`. Raises SettingError with the setting."""
    where = f"the setting {{{described(setting)}}}"
    for name in setting:
        if name in FIXED:
            raise SettingError(f"{where}: {name!r} is the same for all networks, an argument of sweep: it cannot vary.")
        if name in COLUMNS:
            raise SettingError(f"{where}: {name!r} is a column of the results: rename the setting.")
    seed, reading = setting.get(SEED, 0), NotingSetting(setting, read)
    net = _built(where, build, reading, seed)
    chosen = optimizer if isinstance(optimizer, Optimizer) else _called(f"optimizer, {where}", optimizer, reading)
    if not isinstance(chosen, Optimizer):
        raise SettingError(f"optimizer must be an optimizer such as Adam(lr=1e-3), or a function setting -> optimizer; "
                           f"for {where} it is {_shown(chosen)}.")  # fmt: skip
    terms = _called(f"penalties, {where}", penalties, reading) if callable(penalties) else penalties
    terms = check_penalties(f"penalties, {where},", terms)
    return Member(0, net, chosen, seed, penalties=terms, setting=setting, fold=fold)


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{value!r:.200}"


def _built(where: str, build: Any, setting: Setting, seed: int | None) -> Network:
    made = _called(f"build, {where}", build, setting)
    if isinstance(made, Network):
        return made
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise SettingError(
            f"build must return a Network, or (operators, connectivity); for {where} it returned {made!r:.200}."
        )
    try:
        return Network(*made, seed=seed)
    except GraphDLError as error:
        raise type(error)(f"build, {where}: {error}") from error


def _called(what: str, function: Any, setting: Setting) -> Any:
    """What a function of the user returns for a setting. Raises SettingError if it fails."""
    name = what.split(",")[0]
    if not callable(function) or isinstance(function, Network):
        hint = " To train networks that exist already, use fit_all." if isinstance(function, Network) else ""
        kind = "an optimizer such as Adam(lr=1e-3), or " if name == "optimizer" else ""
        raise SettingError(f"{name} must be {kind}a function of a setting, not {function!r:.200}.{hint}")
    if isinstance(function, type) and issubclass(function, (Network, Optimizer)):
        raise SettingError(f"{name} is the class {function.__name__}: write a function of a setting, such as "
                           f"lambda setting: {function.__name__}(...).")  # fmt: skip
    _check_one_argument(name, function)
    try:
        return function(setting)
    except KeyError as error:
        name = error.args[0] if error.args else ""
        raise SettingError(f"{what}: the setting has no {name!r}.{did_you_mean(name, setting)} It has "
                           f"{listing(setting)}.") from error  # fmt: skip
    except AttributeError as error:
        if error.obj is setting:
            raise SettingError(f"{what}: a setting is a dictionary: write setting[{error.name!r}].") from error
        raise SettingError(f"{what} failed: AttributeError: {error}") from error
    except GraphDLError as error:
        raise type(error)(f"{what}: {error}") from error
    except Exception as error:
        raise SettingError(f"{what} failed: {type(error).__name__}: {error}") from error


def _check_one_argument(name: str, function: Any) -> None:
    """Raise SettingError unless a function can be called with the setting alone."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind({})
    except TypeError:
        raise SettingError(
            f"{name} is called with one argument, the setting, a dictionary; it takes {signature}."
        ) from None
