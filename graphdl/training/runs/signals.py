"""SIGTERM and Ctrl-C during training: a checkpoint is written before they take effect."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """A context in which SIGTERM and Ctrl-C are noted, and take effect when `answer` is called or the context ends.

    The second one takes effect at once. A signal that the process ignores is left alone, and so is SIGINT if it has
    another handler than Python's. Nothing is changed outside the main thread. In a forked process they take effect at
    once. An error of the block is raised in place of a signal that was noted.

    noted  the signal that was received, if any
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                handler = signal.getsignal(number)
                usual = handler is signal.default_int_handler if number == signal.SIGINT else handler is not None
                if usual and handler is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
        if self.noted is not None and kind is None:
            signal.raise_signal(self.noted)

    def answer(self) -> None:
        """Let a signal that was noted take effect by the handler that it had before; go on if that returns."""
        if self.noted is None:
            return
        number, self.noted = self.noted, None
        signal.signal(number, self._before[number])
        signal.raise_signal(number)
        signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        second, self.noted = self.noted is not None, number
        if second:
            self.answer()
