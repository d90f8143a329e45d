"""What loggers have in common: one place to write to, and what is new in the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from graphdl.errors import SettingError
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.callbacks import Callback
from graphdl.training.history import History

EpochEntry = dict[str, Any]


class Logger(Callback):
    """A callback that writes to one place, so that networks which are trained together cannot share it.

    It is called after other callbacks at the end of an epoch, so that it writes down what they add to the history.
    """

    _lengths: dict[str, int]

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Note what the history holds already."""
        self._lengths = {name: len(values) for name, values in history.items()}

    def entry(self, stepper: Stepper, history: History) -> EpochEntry:
        """The last epoch: its number from 1, the updates and seconds so far, and what it added to the history."""
        figures = {name: values[-1] for name, values in history.items() if len(values) > self._lengths.get(name, 0)}
        self._lengths = {name: len(values) for name, values in history.items()}
        return {"epoch": history.epochs, "updates": stepper.steps, "seconds": round(history.seconds, 6), **figures}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: where training continues, the history says from which epoch."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise SettingError(
            f"{type(self).__name__} writes to one place, and every network would get a copy of it: write the results "
            "with result.to_csv(path) or result.to_json(path), or train each network with fit and its own logger."
        )
