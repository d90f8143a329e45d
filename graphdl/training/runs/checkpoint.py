"""Where and how often fit stores a training run: settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphdl.errors import SettingError
from graphdl.settings import Check, Settings, flag, number, optional, setting, size

SECONDS = 30.0
"""How often a checkpoint is written if nothing is said about it."""

FOLDER = Check("a folder, as 'runs/disc'", lambda value: isinstance(value, (str, Path)) and str(value) not in ("", "."))
NAME = Check("the name of a loss or metric, as 'validation_loss'", lambda value: isinstance(value, str))


@dataclass(frozen=True)
class Checkpoint(Settings):
    """Where and how often `fit` stores a training run, so that the same call continues it after it was stopped.

    folder    of the run; it is created
    epochs    a checkpoint after every so many epochs
    steps     after every so many batches, also in the middle of an epoch
    seconds   after the first step that ends so many seconds after the last checkpoint, but without spending more than a
              twentieth of the time on writing; 30 if none of the three is given. The first is written after a second
    keep      how many of the last checkpoints are kept
    monitor   the loss or metric by which the best epoch is chosen, whose network is kept too: by default
              "validation_loss" if there are validation data; without them nothing is chosen
    maximise  True if higher is better; by default for "accuracy" and "validation_accuracy"
    about     plain data that are stored with the run, for the caller's own use

    The last epoch is always stored. `graphdl.read_run(folder)` reads what is stored. Raises SettingError for other
    values.
    """

    folder: str | Path = setting(FOLDER)
    epochs: int | None = setting(optional(size()), default=None, kw_only=True)
    steps: int | None = setting(optional(size()), default=None, kw_only=True)
    seconds: float | None = setting(optional(number(0)), default=None, kw_only=True)
    keep: int = setting(size(), default=3, kw_only=True)
    monitor: str | None = setting(optional(NAME), default=None, kw_only=True)
    maximise: bool | None = setting(optional(flag()), default=None, kw_only=True)
    about: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def check_settings(self) -> None:
        """Raise SettingError unless `about` can be stored."""
        try:
            held = json.loads(json.dumps(self.about, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise SettingError(f"Checkpoint: about must hold plain data that JSON can store: {error}.") from None
        if held != self.about:
            raise SettingError("Checkpoint: about must be a dictionary of plain data, with strings as its keys.")

    @property
    def pause(self) -> float | None:
        """The seconds between checkpoints; None if time does not matter."""
        unsaid = self.epochs is None and self.steps is None and self.seconds is None
        return SECONDS if unsaid else self.seconds
