"""What fit calls after every epoch."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from graphdl.errors import SettingError
from graphdl.network import Network
from graphdl.training.history import History


class Callback(Protocol):
    """Called with the network and the history after every epoch; training ends when it returns True."""

    def __call__(self, net: Network, history: History) -> bool | None:
        """Look, act, and return True to end training."""
        ...


class EarlyStopping:
    """Ends training when a figure has not fallen for some epochs; fit then ends with the best parameters.

    monitor   the figure, to be minimised: "validation_loss", "loss"; maximise=True for "validation_accuracy"
    patience  how many epochs it may go without a new best
    """

    def __init__(self, monitor: str = "validation_loss", patience: int = 10, maximise: bool = False) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise SettingError(f"EarlyStopping: patience is a number of epochs, 1 or more, not {patience!r}")
        self.monitor, self.patience, self.maximise = monitor, patience, maximise
        self.best_epoch = 0
        self._best: dict[str, Tensor] = {}

    def __call__(self, net: Network, history: History) -> bool:
        """Keep the best parameters; return True when patience is at its end."""
        sign = -1 if self.maximise else 1
        figures = [sign * figure for figure in history[self.monitor]]
        if len(figures) == 1:
            self.best_epoch = 0
        best = figures[self.best_epoch - 1]
        if self.best_epoch == 0 or math.isnan(best) or figures[-1] < best:
            self.best_epoch, self._best = len(figures), net.state_dict()
        return len(figures) - self.best_epoch >= self.patience

    def restore(self, net: Network) -> None:
        """Give the network its best parameters back; fit does so at its end, however it comes."""
        if self._best:
            net.load_state_dict(self._best)
