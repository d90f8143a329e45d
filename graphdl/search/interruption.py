"""Ctrl-C while members train."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """A context in which the first Ctrl-C raises KeyboardInterrupt, and further ones do not disturb what it ends.

    Nothing is changed if SIGINT has another handler than Python's, or outside the main thread.
    """

    def __init__(self) -> None:
        self._requested = False
        self._handler: Any = None

    def __enter__(self) -> Self:
        self._requested = False
        own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if own and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None

    def check(self) -> bool:
        """Raise KeyboardInterrupt if training is to end; otherwise False."""
        if self._requested:
            raise KeyboardInterrupt
        return False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._requested:
            self._requested = True
            raise KeyboardInterrupt
