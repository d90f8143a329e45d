"""Opens the folder of a run for fit: a new run begins, and one that was stopped continues."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphdl.data import Batches
from graphdl.errors import GraphDLWarning, SettingError, counted, level_outside, listing
from graphdl.training.batching import Batch
from graphdl.training.callbacks import Monitoring
from graphdl.training.runs.checkpoint import Checkpoint
from graphdl.training.runs.described import described, differences, nodes_of
from graphdl.training.runs.folder import Manifest, RunFolder
from graphdl.training.runs.keeper import Keeper
from graphdl.training.runs.state import Parts, is_stateful

FREE = ("net", "inputs", "targets", "optimizer", "epochs", "checkpoint", "progress")
"""Arguments of fit that may change from call to call, or are described in another way."""


class _Best(Monitoring):
    """Chooses the best epoch."""

    @property
    def owner(self) -> str:
        """The name by which users know it."""
        return "Checkpoint"


@contextmanager
def keeping(
    checkpoint: Checkpoint | str | Path | None,
    arguments: Mapping[str, Any],
    batches: Iterable[Batch],
    names: Iterable[str],
    parts: Parts,
) -> Iterator[Keeper | None]:
    """A context in which a run is kept in its folder, by a Keeper; None if it is not to be kept.

    arguments  of fit
    names      of what the history will list

    Raises SettingError if the folder holds another run, and says what differs.
    """
    if checkpoint is None:
        yield None
        return
    how = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    monitor = _monitor(how, list(names), arguments.get("validation") is not None)
    _warn_of_callbacks(parts.calls.given)
    folder = RunFolder(how.folder)
    stored = parts.net.to_dict()
    settings = _settings(arguments, batches, parts)
    with folder.locked():
        manifest = _manifest(folder, stored, settings)
        manifest.about = dict(how.about) or manifest.about
        keeper = Keeper(how, folder, parts, manifest, monitor)  # leaves out checkpoints that are damaged
        _check_epochs(folder, manifest, arguments["epochs"])
        parts.train.watch = keeper
        with keeper.signals:
            yield keeper


def _settings(arguments: Mapping[str, Any], batches: Iterable[Batch], parts: Parts) -> dict[str, Any]:
    """What the numbers of a run depend on beside the two dictionaries."""
    net = parts.net
    network = {"frozen": sorted(map(repr, net.engine.frozen)), "dtype": str(net.dtype), "device": net.device.type}
    data = dict(batches.inputs) if isinstance(batches, Batches) else [arguments["inputs"], arguments["targets"]]
    given = {name: described(value) for name, value in arguments.items() if name not in FREE}
    return {**network, "inputs": described(data), "optimizer": described(parts.stepper.optimizer), **given}


def _manifest(folder: RunFolder, stored: Mapping[str, Any], settings: Mapping[str, Any]) -> Manifest:
    """The manifest of the run, new or as it was left."""
    manifest = folder.read()
    if manifest is None:
        manifest = Manifest(settings=dict(settings), model=folder.write_model(stored))
        folder.write(manifest)
        return manifest
    old, new = nodes_of(folder.read_model(manifest)), nodes_of(stored)
    if found := [*differences(old, new), *differences(manifest.settings, settings)]:
        raise SettingError(
            f"checkpoint={str(folder.path)!r} holds another run: {listing(found)}. Call fit as before to "
            "continue it, give another folder, or remove this one."
        )
    folder.clear(manifest)  # what a killed process has left
    return manifest


def _check_epochs(folder: RunFolder, manifest: Manifest, epochs: int) -> None:
    """Raise SettingError if more epochs were made, or begun, than are wanted."""
    place = manifest.checkpoints[-1] if manifest.checkpoints else {"epoch": 0, "batch": 0}
    if (place["epoch"], place["batch"]) > (epochs, 0):
        begun = " and a part of the next" if place["batch"] else ""
        raise SettingError(
            f"{str(folder.path)!r} holds a run of {counted(place['epoch'], 'epoch')}{begun}, and epochs is "
            f"{epochs}, the number in all: give a larger one to continue, or another folder."
        )


def _monitor(how: Checkpoint, names: list[str], validated: bool) -> Monitoring | None:
    """What says which epoch is the best. Raises SettingError for a name that the history will not have."""
    name = how.monitor or ("validation_loss" if validated else None)
    if name is None:
        return None
    monitor: Monitoring = _Best(name, 0, how.maximise)
    monitor.check(names)
    return monitor


def _warn_of_callbacks(callbacks: Iterable[object]) -> None:
    """Warn of callbacks that seem to have a state and cannot store it."""
    for k, callback in enumerate(callbacks):
        if getattr(callback, "__dict__", None) and not is_stateful(callback) and not hasattr(callback, "__code__"):
            warnings.warn(
                f"callbacks[{k}] ({type(callback).__name__}) has attributes and no state_dict: it starts from its "
                "initial state when the run is continued. Give it the methods state_dict() and load_state_dict(state).",
                GraphDLWarning,
                stacklevel=level_outside(),
            )
