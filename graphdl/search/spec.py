"""A sweep declared in a JSON or TOML file: data, network, settings and optimizer, and no code.

    {"data": {"name": "disc", "rows": 400},
     "network": {"operators": {"fc1": {"type": "Linear", "out_features": {"$": "width"}}, ...}, "connectivity": {...}},
     "over": {"width": [8, 16], "lr": [1e-3, 1e-2], "seed": [0, 1]},
     "optimizer": {"type": "Adam", "lr": {"$": "lr"}},
     "epochs": 50, "batch_size": 50, "folds": 5, "metrics": ["accuracy"]}

{"$": "width"} stands for the setting of that name, wherever it is.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphdl import optim, serialization
from graphdl.errors import FileFormatError, GraphDLError, did_you_mean, listing
from graphdl.optim import Optimizer, Penalty
from graphdl.search.halving import Halving
from graphdl.search.result import Sweep
from graphdl.search.sources import load_data
from graphdl.search.space import Random, Setting
from graphdl.search.sweep import sweep
from graphdl.training import EarlyStopping

REQUIRED = ("data", "network", "over", "optimizer", "epochs", "batch_size")
PASSED = (
    "epochs", "batch_size", "folds", "metrics", "shuffle", "threads", "compile", "clip_norm", "clip_value",
    "accumulate", "backend", "checkpoint", "memory", "by", "maximise",
)  # fmt: skip
"""What is passed to sweep as it is."""
KNOWN = (*REQUIRED, "validation", "early_stopping", "halving", "penalties", *PASSED[2:])
DISTRIBUTIONS = ("uniform", "loguniform")
HOLE = "$"


def sweep_file(path: str | Path, **changes: Any) -> Sweep:
    """Run the sweep of a .json or .toml file; `changes` are arguments of sweep that replace those of the file.

    Raises FileFormatError for a file that is not a sweep, and the errors of sweep.
    """
    path = Path(path)
    return run_spec(read_spec(path), path.parent, **changes)


def read_spec(path: Path) -> dict[str, Any]:
    """Read a .json or .toml file. Raises FileFormatError if it is missing or invalid, or lacks an entry."""
    if path.suffix == ".toml":
        try:
            spec: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from None
        except ValueError as error:
            raise FileFormatError(f"{path} is not a TOML file: {error}.") from None
    else:
        spec = serialization.read_json(path)
    if not isinstance(spec, dict):
        raise FileFormatError(f"{path}: a sweep is a dictionary with {listing(REQUIRED)}.")
    check_names(str(path), spec, KNOWN)
    if missing := [name for name in REQUIRED if name not in spec]:
        raise FileFormatError(f"{path} has no {listing(map(repr, missing))}: a sweep needs {listing(REQUIRED)}.")
    return spec


def run_spec(spec: Mapping[str, Any], folder: Path, **changes: Any) -> Sweep:
    """Run a sweep that was read from a file in this folder."""
    given: dict[str, Any] = {name: spec[name] for name in PASSED if name in spec}
    template = _template(spec["network"], folder)
    if "early_stopping" in spec:
        given["callbacks"] = [_early_stopping(spec["early_stopping"])]
    if "halving" in spec:
        given["halving"] = _settings_of("halving", Halving, spec["halving"])
    if "validation" in spec:
        given["validation"] = load_data("validation", spec["validation"], folder)
    if "penalties" in spec:
        given["penalties"] = lambda setting: _penalties(_filled(spec["penalties"], setting))
    given["over"] = _space(spec["over"])
    given["optimizer"] = lambda setting: read_optimizer(_filled(spec["optimizer"], setting))
    inputs, targets = load_data("data", spec["data"], folder)
    return sweep(
        lambda setting: serialization.from_dict(_filled(template, setting)), inputs, targets, **(given | changes)
    )


def check_names(where: str, given: object, known: tuple[str, ...]) -> None:
    """Raise FileFormatError unless it is a dictionary with known names."""
    if not isinstance(given, Mapping):
        raise FileFormatError(f"{where} must be a dictionary with some of {listing(known)}, not {given!r:.100}.")
    for name in given:
        if name not in known:
            raise FileFormatError(f"{where} has an unknown entry {name!r}.{did_you_mean(name, known)} It may have "
                                  f"{listing(known, most=30)}.")  # fmt: skip


def _template(network: object, folder: Path) -> dict[str, Any]:
    """A stored network, with holes for settings; or the name of a file that holds one."""
    if isinstance(network, str):
        network = serialization.read_json(folder / network)
    check_names("network", network, serialization.FIELDS)
    assert isinstance(network, Mapping)
    return {"format": serialization.FORMAT, "version": serialization.VERSION, **network}


def _filled(template: Any, setting: Setting) -> Any:
    """A template with the values of a setting in its holes."""
    if isinstance(template, Mapping):
        if HOLE in template:
            if len(template) > 1:
                raise FileFormatError(
                    f'{dict(template)!r:.100}: write {{"$": name of a setting}} without other entries.'
                )
            if not isinstance(template[HOLE], str):
                raise FileFormatError(f'{dict(template)!r:.100}: write {{"$": "name"}}, with the name of a setting.')
            return setting[template[HOLE]]
        return {name: _filled(value, setting) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, setting) for value in template]
    return template


def read_optimizer(stored: Any) -> Optimizer:
    """The optimizer of {"type": its class, and its settings}."""
    kind, settings = _class_and_settings("optimizer", Optimizer, stored)
    nodes = settings.pop("nodes", {})
    settings = _values("optimizer", settings)
    if nodes != {}:
        if not isinstance(nodes, Mapping):
            raise FileFormatError(
                f'optimizer, nodes must be a dictionary such as {{"*.bias": {{"lr": 0.01}}}}, not {nodes!r:.100}.'
            )
        settings["nodes"] = {key: _values(f"optimizer, nodes, {key}", held) for key, held in nodes.items()}
    optimizer = serialization.construct(kind, settings, "optimizer")
    assert isinstance(optimizer, Optimizer)
    return optimizer


def _penalties(stored: Any) -> tuple[Penalty, ...]:
    """The penalties of a list of {"type": its class, and its settings}."""
    if not isinstance(stored, list):
        raise FileFormatError(
            f'penalties must be a list such as [{{"type": "L2", "strength": 0.001}}], not {stored!r:.100}.'
        )
    read = []
    for k, each in enumerate(stored):
        kind, settings = _class_and_settings(where := f"penalties[{k}]", Penalty, each)
        read.append(serialization.construct(kind, _values(where, settings), where))
    return tuple(read)


def kinds_of(base: type) -> dict[str, type]:
    """The classes of graphdl.optim of some kind, by name."""
    return {
        name: kind
        for name, kind in vars(optim).items()
        if inspect.isclass(kind) and issubclass(kind, base) and not inspect.isabstract(kind)
    }


def _class_and_settings(where: str, base: type, stored: Any) -> tuple[type, dict[str, Any]]:
    """The class that is stored as "type", one of graphdl.optim, and its settings."""
    kinds = kinds_of(base)
    if isinstance(stored, str) and stored in kinds:
        raise FileFormatError(f'{where} is "{stored}": write {{"type": "{stored}"}}, with its settings.')
    found = stored.get("type") if isinstance(stored, Mapping) else stored
    if not isinstance(stored, Mapping) or not isinstance(found, str) or found not in kinds:
        raise FileFormatError(f'{where} must be {{"type": one of {listing(kinds)}, and its settings}}, not '
                              f"{found!r:.100}.{did_you_mean(found, kinds)}")  # fmt: skip
    return kinds[found], {name: value for name, value in stored.items() if name != "type"}


def _values(where: str, held: Any) -> dict[str, Any]:
    if not isinstance(held, Mapping):
        raise FileFormatError(f"{where} must be a dictionary of settings, not {held!r:.100}.")
    return {name: serialization.read_value(value, f"{where}, {name}") for name, value in held.items()}


def _space(over: Any) -> Any:
    """What a sweep is over: a grid, a list, or {"random": n, "choices": {...}, "seed": 0}."""
    if not isinstance(over, Mapping) or "random" not in over:
        return over
    check_names("over", over, ("random", "choices", "seed"))
    choices = over.get("choices")
    if not isinstance(choices, Mapping):
        raise FileFormatError('over: "choices" must be a dictionary {name: values, or a distribution}.')
    drawn = {name: _distribution(name, choice) for name, choice in choices.items()}
    return Random(over["random"], drawn, seed=over.get("seed", 0))


def _distribution(name: str, choice: Any) -> Any:
    """Values, or a distribution of scipy.stats: {"loguniform": [1e-4, 1e-1]}, {"uniform": [0, 1]}."""
    if not isinstance(choice, Mapping):
        return choice
    where = f"over, choices, {name}"
    check_names(where, choice, DISTRIBUTIONS)
    from scipy import stats  # comes with scikit-learn

    kind, bounds = next(iter(choice.items()), ("", None))
    if not isinstance(bounds, list) or len(bounds) != 2 or not all(isinstance(b, (int, float)) for b in bounds):
        raise FileFormatError(f'{where} must be like {{"loguniform": [1e-4, 1e-1]}}, not {dict(choice)!r:.100}.')
    low, high = bounds
    if not low < high or (kind == "loguniform" and low <= 0):
        raise FileFormatError(
            f"{where}: {kind} needs {'0 < ' if kind == 'loguniform' else ''}low < high, not {bounds}."
        )
    return stats.loguniform(low, high) if kind == "loguniform" else stats.uniform(low, high - low)


def _early_stopping(given: Any) -> EarlyStopping:
    known = tuple(inspect.signature(EarlyStopping).parameters)
    check_names("early_stopping", given, known)
    return EarlyStopping(**given)


def _settings_of(where: str, kind: type, given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise FileFormatError(f"{where} must be a dictionary of its settings, not {given!r:.100}.")
    try:
        return serialization.construct(kind, given, where)
    except GraphDLError as error:
        raise FileFormatError(str(error)) from error
