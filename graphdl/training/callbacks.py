"""Callbacks: what fit calls while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.history import History


class Callback:
    """Something that fit calls while it trains. Its methods do nothing; a subclass replaces those that it needs.

    Any object with some of these methods is a callback, too, and so is a function (net, history), which is called at
    the end of every epoch.

    stepper  the optimizer at work: stepper.steps counts updates, stepper.scale multiplies the learning rates
    history  the figures so far: history["loss"][-1] is the last epoch's loss, once the epoch is over
    """

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Called before the first epoch."""

    def on_epoch_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Called before every epoch."""

    def on_step_end(self, net: Network, stepper: Stepper, history: History) -> bool | None:
        """Called after every batch; where steps are compiled, after every block of batches. True ends training."""

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> bool | None:
        """Called after every epoch, once its figures are in the history. True ends training."""

    def on_fit_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Called at the end of training, also if it is interrupted or fails."""


class Monitoring(Callback):
    """A callback that looks at a figure after every epoch.

    monitor   the figure, to be minimised: "validation_loss", "loss"
    maximise  True for one that should grow, such as "validation_accuracy"
    """

    def __init__(self, monitor: str, patience: int, maximise: bool) -> None:
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise SettingError(f"{owner}: monitor is the name of a figure, such as 'validation_loss', not {monitor!r}")
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < self._least_patience:
            least = self._least_patience
            raise SettingError(f"{owner}: patience is a number of epochs, {least} or more, not {patience!r}")
        if not isinstance(maximise, bool):
            raise SettingError(f"{owner}: maximise is True or False, not {maximise!r}")
        self.monitor, self.patience, self.maximise = monitor, patience, maximise

    _least_patience = 0

    def check(self, names: Iterable[str]) -> None:
        """Refuse a monitor that is none of these figures."""
        names = list(names)
        if self.monitor not in names:
            hint = " fit measures it if it is given validation data." if self.monitor.startswith("validation_") else ""
            raise SettingError(
                f"{type(self).__name__}: there is no {self.monitor!r} to monitor.{did_you_mean(self.monitor, names)} "
                f"The figures are {listing(names) or 'none yet'}.{hint}"
            )

    def figure(self, history: History) -> float:
        """The last epoch's figure, turned so that less is better."""
        self.check(history)
        return -history[self.monitor][-1] if self.maximise else history[self.monitor][-1]


class EarlyStopping(Monitoring):
    """Ends training when a figure has not fallen for some epochs; the network then has its best parameters.

    monitor     the figure, to be minimised: "validation_loss", "loss"; maximise=True for "validation_accuracy"
    patience    how many epochs it may go without a new best
    best_epoch  the epoch of the best figure, counted from 1; 0 before the first
    """

    _least_patience = 1

    def __init__(self, monitor: str = "validation_loss", patience: int = 10, maximise: bool = False) -> None:
        super().__init__(monitor, patience, maximise)
        self._forget()

    def _forget(self) -> None:
        self.best_epoch = self._epoch = 0
        self._best, self._state = math.nan, dict[str, Tensor]()

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Begin anew."""
        self._forget()

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> bool:
        """Keep the best parameters; return True when patience is at its end."""
        figure = self.figure(history)
        self._epoch += 1
        if self.best_epoch == 0 or math.isnan(self._best) or figure < self._best:
            self.best_epoch, self._best, self._state = self._epoch, figure, net.state_dict()
        return self._epoch - self.best_epoch >= self.patience

    def on_fit_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Give the network its best parameters back."""
        if self._state:
            net.load_state_dict(self._state)


class ReduceOnPlateau(Monitoring):
    """Lowers every learning rate when a figure has not fallen for some epochs: as torch's ReduceLROnPlateau.

    monitor    the figure, to be minimised: "validation_loss", "loss"; maximise=True for "validation_accuracy"
    factor     what stepper.scale, which multiplies the learning rates, is multiplied by
    patience   how many epochs it may go without a new best; the next one lowers the rates
    threshold  a new best is better by this part of the old one, at least
    cooldown   how many epochs are not counted after the rates were lowered
    least      the scale that is not undercut

    It goes on where it was when fit goes on with the same stepper, and begins anew with another one.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        factor: float = 0.1,
        patience: int = 10,
        maximise: bool = False,
        *,
        threshold: float = 1e-4,
        cooldown: int = 0,
        least: float = 0.0,
    ) -> None:
        super().__init__(monitor, patience, maximise)
        for name, value, below in (("factor", factor, 1), ("threshold", threshold, math.inf), ("least", least, 1)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < below:
                raise SettingError(f"ReduceOnPlateau: {name} is a number in [0, {below}), not {value!r}")
        if isinstance(cooldown, bool) or not isinstance(cooldown, int) or cooldown < 0:
            raise SettingError(f"ReduceOnPlateau: cooldown is a number of epochs, 0 or more, not {cooldown!r}")
        self.factor, self.threshold, self.cooldown, self.least = factor, threshold, cooldown, least
        self._stepper: Stepper | None = None

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Begin anew with another stepper."""
        if stepper is not self._stepper:
            self._stepper, self._best, self._bad, self._rest = stepper, math.inf, 0, 0

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Count the epochs without a new best; lower the rates after too many."""
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
