"""When a checkpoint is due: after so many epochs or steps, or so much time."""

from __future__ import annotations

import time

WRITING = 20
"""Training takes at least so many times as long as writing, where checkpoints are written by time."""

FIRST = 1.0
"""The seconds after which the first checkpoint is written at the latest, where they are written by time."""

ENDLESS = 2**31


class Count:
    """Counts, and is due at every multiple of `every`; never if it is None."""

    def __init__(self, every: int | None) -> None:
        self.every, self.made = every, 0

    @property
    def left(self) -> int:
        """How many there are up to the next multiple."""
        return ENDLESS if self.every is None else self.every - self.made % self.every

    def reach(self, made: int) -> bool:
        """Count up to this number; return whether a multiple was reached."""
        due = made - self.made >= self.left
        self.made = made
        return due


class Timer:
    """Is due so many seconds after the last writing, but not before a multiple of what it took; never for None.

    The first writing is due after a second at the latest, so that a process that is killed has left something.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._since = seconds, time.monotonic()
        self._pause = FIRST if seconds is None else min(seconds, FIRST)

    @property
    def due(self) -> bool:
        """Whether so much time has passed."""
        return self._seconds is not None and time.monotonic() - self._since >= self._pause

    def written(self, begun: float) -> None:
        """Start again after a writing that was begun at this time."""
        self._since = time.monotonic()
        self._pause = max(self._seconds or 0.0, WRITING * (self._since - begun))
