"""The callbacks of a training run: they are checked before training, and called during training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.callbacks import Callback, Monitoring
from graphdl.training.history import History
from graphdl.training.logging.entry import Logger

EpochEnd: TypeAlias = Callable[[Network, History], Any]

HOOKS = ("on_fit_start", "on_epoch_start", "on_step_end", "on_epoch_end", "on_fit_end")


class Callbacks:
    """The callbacks of a training run, in order; at the end of an epoch, loggers come after the others.

    Raises SettingError for an object that is not a callback.

    given        the callbacks
    wants_steps  whether a callback has on_step_end
    """

    def __init__(self, given: object) -> None:
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise SettingError(f"callbacks must be a sequence such as [EarlyStopping()], not {given!r:.200}.")
        self.given = tuple(given)
        self._hooks: dict[str, list[Callable[..., Any]]] = {name: [] for name in HOOKS}
        for k, callback in enumerate(self.given):
            for name, hook in _hooks(f"callbacks[{k}]", callback).items():
                self._hooks[name].append(hook)
        self._hooks["on_epoch_end"].sort(key=lambda hook: isinstance(getattr(hook, "__self__", None), Logger))
        self._arguments: tuple[Network, Stepper, History] | None = None

    @property
    def wants_steps(self) -> bool:
        """Whether a callback has on_step_end."""
        return bool(self._hooks["on_step_end"])

    def check(self, names: Iterable[str]) -> None:
        """Raise SettingError if a callback monitors a name that will not be in the history.

        Other callbacks may add entries to the history; beside such callbacks, only probable mistakes are errors.
        """
        names = list(names)
        monitoring = [callback for callback in self.given if isinstance(callback, Monitoring)]
        for callback in monitoring:
            if len(monitoring) == len(self.given) or callback.misspelt(names):
                callback.check(names)

    @contextmanager
    def around(self, net: Network, stepper: Stepper, history: History) -> Iterator[None]:
        """A context for training, which calls `start` before it and `end` after it, even after an error."""
        try:
            self.start(net, stepper, history)
            yield
        finally:
            self.end()

    def start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Call on_fit_start, and keep the arguments for later calls."""
        self._arguments, self._ended = (net, stepper, history), False
        self._call("on_fit_start")

    def epoch_start(self) -> None:
        """Call on_epoch_start."""
        self._call("on_epoch_start")

    def step_end(self) -> bool:
        """Call on_step_end after a step or a block of compiled steps; return whether training ends."""
        self._ended = self._call("on_step_end")
        return self._ended

    def epoch_end(self) -> bool:
        """Call on_epoch_end; return whether training ends."""
        return self._call("on_epoch_end") or self._ended

    def end(self) -> None:
        """Call on_fit_end of every callback, even if one fails, if training has started."""
        if self._arguments is None:
            return
        arguments, self._arguments = self._arguments, None
        errors: list[BaseException] = []
        for hook in self._hooks["on_fit_end"]:
            try:
                hook(*arguments)
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _call(self, name: str) -> bool:
        """Call a method of all callbacks that have it; return whether one returned True."""
        assert self._arguments is not None, "start comes first"
        answers = [hook(*self._arguments) for hook in self._hooks[name]]
        return any(_ends(name, answer) for answer in answers)


def _ends(name: str, answer: Any) -> bool:
    """Whether a callback ends training."""
    try:
        return bool(answer)
    except (RuntimeError, TypeError, ValueError):
        raise SettingError(
            f"A callback's {name} returned {answer!r:.100}; it must return True to end training, or None."
        ) from None


def _hooks(what: str, callback: object) -> dict[str, Callable[..., Any]]:
    """The methods of a callback to call, by name."""
    if isinstance(callback, type):
        raise SettingError(f"{what} is the class {callback.__name__}: write {callback.__name__}(...).")
    kind = type(callback).__name__
    for name in dir(callback):
        if name.startswith("on_") and name not in HOOKS and callable(getattr(callback, name)):
            meant = did_you_mean(name, HOOKS) or f" fit calls {listing(HOOKS)}."
            raise SettingError(f"{what} ({kind}) has a method {name}, which fit does not know.{meant}")
    named = [name for name in HOOKS if hasattr(callback, name)]
    if named:
        idle = {name: getattr(Callback, name) for name in HOOKS}
        found = {name: getattr(callback, name) for name in named if getattr(type(callback), name, None) != idle[name]}
        for name, hook in found.items():
            _check_takes(f"{what} ({kind}): {name}", hook, ("net", "stepper", "history"))
        return found
    if not callable(callback):
        raise SettingError(
            f"{what} is {callback!r:.100}, which is not a callback. A callback is an object with some of the methods "
            f"{listing(HOOKS)}, or a function (net, history)."
        )
    function: EpochEnd = callback
    _check_takes(f"{what} ({getattr(callback, '__name__', kind)})", function, ("net", "history"))
    return {"on_epoch_end": lambda net, stepper, history: function(net, history)}


def _check_takes(what: str, function: Callable[..., Any], names: tuple[str, ...]) -> None:
    """Raise SettingError for a function that cannot be called with these arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some functions written in C have no signature
    try:
        signature.bind(*names)
    except TypeError:
        raise SettingError(f"{what} takes {signature}, but fit calls it with ({', '.join(names)}).") from None
