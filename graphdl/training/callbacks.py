"""Callbacks, whose methods fit calls during training."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.metrics import is_maximised
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.settings import is_whole_number
from graphdl.training.history import History


class Callback:
    """Base class of callbacks. Its methods do nothing; a subclass overrides those that it needs.

    Any object with some of these methods is also a callback, and so is a function (net, history), which is called at
    the end of every epoch.

    stepper  the optimizer bound to the network: stepper.steps counts updates, stepper.scale multiplies learning rates
    history  the losses and metrics so far: in on_epoch_end, history["loss"][-1] is the loss of the epoch
    """

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Called before the first epoch."""

    def on_epoch_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Called before every epoch."""

    def on_step_end(self, net: Network, stepper: Stepper, history: History) -> bool | None:
        """Called after every step; with compile=True, after every block of steps. True ends training."""

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> bool | None:
        """Called after every epoch, when its values are in the history. True ends training."""

    def on_fit_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Called at the end of training, even if it was interrupted or failed."""


class Monitoring(Callback):
    """A callback that checks a loss or a metric after every epoch.

    monitor   its name, for example "validation_loss"; lower is better
    maximise  True if higher is better; by default for the metrics of which it is, as "validation_accuracy"
    """

    def __init__(self, monitor: str, patience: int, maximise: bool | None) -> None:
        owner = self.owner
        if not isinstance(monitor, str):
            raise SettingError(
                f"{owner}: monitor must be the name of a loss or metric, as 'validation_loss', not {monitor!r}"
            )
        least = self._least_patience
        if not is_whole_number(patience) or patience < least:
            raise SettingError(f"{owner}: patience must be a number of epochs, {least} or more, not {patience!r}")
        if maximise is not None and not isinstance(maximise, bool):
            raise SettingError(f"{owner}: maximise must be True or False, not {maximise!r}")
        self.monitor, self.patience = monitor, int(patience)
        self.maximise = is_maximised(monitor) if maximise is None else maximise

    _least_patience = 0

    @property
    def owner(self) -> str:
        """The name of what monitors, for the text of errors."""
        return type(self).__name__

    def check(self, names: Iterable[str]) -> None:
        """Raise SettingError if `monitor` is not one of these names."""
        names = list(names)
        if self.monitor not in names:
            validation = self.monitor.startswith("validation_")
            hint = " It needs validation data: validation=, or folds= in a sweep." if validation else ""
            raise SettingError(
                f"{self.owner}: there is no {self.monitor!r} to monitor.{did_you_mean(self.monitor, names)} "
                f"The history has {listing(names) or 'no entries yet'}.{hint}"
            )

    def misspelt(self, names: Iterable[str]) -> bool:
        """Whether `monitor` is probably meant to be one of these names, or one of validation data that are missing."""
        names = list(names)
        close = difflib.get_close_matches(self.monitor, names, n=1, cutoff=0.85)
        return self.monitor not in names and bool(close or self.monitor.removeprefix("validation_") in names)

    def figure(self, history: History) -> float:
        """The value of the last epoch, negated if higher is better."""
        self.check(history)
        return -history[self.monitor][-1] if self.maximise else history[self.monitor][-1]


class EarlyStopping(Monitoring):
    """Ends training when a loss or a metric has stopped improving, and restores the best parameters.

    monitor     its name, for example "validation_loss"; lower is better
    patience    the number of epochs without improvement after which training ends
    maximise    True if higher is better; by default for the metrics of which it is, as "validation_accuracy"
    best_epoch  the epoch of the best value, counted from 1; 0 before the first that is a number

    The best parameters are restored however training ends. NaN never counts as an improvement.
    """

    _least_patience = 1

    def __init__(self, monitor: str = "validation_loss", patience: int = 10, maximise: bool | None = None) -> None:
        super().__init__(monitor, patience, maximise)
        self._forget()

    def _forget(self) -> None:
        self.best_epoch = self._epoch = 0
        self._best, self._state = math.nan, dict[str, Tensor]()

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Forget earlier training."""
        self._forget()

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> bool:
        """Keep the best parameters; return True after `patience` epochs without improvement."""
        figure = self.figure(history)
        self._epoch += 1
        if figure < self._best or (math.isnan(self._best) and not math.isnan(figure)):
            self.best_epoch, self._best, self._state = self._epoch, figure, net.state_dict()
        return self._epoch - self.best_epoch >= self.patience

    def on_fit_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Restore the best parameters."""
        if self._state:
            net.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and tensors, to continue after on_fit_start."""
        kept = {f"best.{name}": tensor for name, tensor in self._state.items()}
        return {"best_epoch": self.best_epoch, "epoch": self._epoch, "best": self._best, **kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was called."""
        self.best_epoch, self._epoch, self._best = state["best_epoch"], state["epoch"], state["best"]
        self._state = {name.removeprefix("best."): tensor for name, tensor in state.items() if name.startswith("best.")}


class ReduceOnPlateau(Monitoring):
    """Lowers all learning rates when a loss or a metric has stopped improving, as torch's ReduceLROnPlateau.

    monitor    its name, for example "validation_loss"; lower is better
    factor     the factor of stepper.scale, which multiplies the learning rates
    patience   the number of epochs without improvement; the next one lowers the rates
    maximise   True if higher is better; by default for the metrics of which it is, as "validation_accuracy"
    threshold  the least relative improvement that counts
    cooldown   the number of epochs that are not counted after the rates were lowered
    least      the lowest value of stepper.scale

    It keeps its counts when fit continues with the same stepper, and resets them with another one.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        factor: float = 0.1,
        patience: int = 10,
        maximise: bool | None = None,
        *,
        threshold: float = 1e-4,
        cooldown: int = 0,
        least: float = 0.0,
    ) -> None:
        super().__init__(monitor, patience, maximise)
        for name, value, below in (("factor", factor, 1), ("threshold", threshold, math.inf), ("least", least, 1)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < below:
                raise SettingError(f"ReduceOnPlateau: {name} must be a number in [0, {below}), not {value!r}")
        if not is_whole_number(cooldown) or cooldown < 0:
            raise SettingError(f"ReduceOnPlateau: cooldown must be a number of epochs, 0 or more, not {cooldown!r}")
        self.factor, self.threshold, self.cooldown, self.least = factor, threshold, int(cooldown), least
        self._stepper: Stepper | None = None

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Reset the counts if the stepper is another one."""
        if stepper is not self._stepper:
            self._stepper, self._best, self._bad, self._rest = stepper, math.inf, 0, 0

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Count the epochs without improvement; lower the rates after too many."""
        figure = self.figure(history)
        if figure < self._best * (1 + self.threshold if self.maximise else 1 - self.threshold):
            self._best, self._bad = figure, 0
        else:
            self._bad += 1
        if self._rest > 0:
            self._rest, self._bad = self._rest - 1, 0
        if self._bad > self.patience:
            stepper.scale = max(stepper.scale * self.factor, self.least)
            self._rest, self._bad = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, to continue after on_fit_start."""
        return {"best": self._best, "bad": self._bad, "rest": self._rest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was called."""
        self._best, self._bad, self._rest = state["best"], state["bad"], state["rest"]
