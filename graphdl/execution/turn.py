"""One thread trains a network at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from graphdl.errors import SettingError

ONE = "One thread trains a network at a time: give each thread its own copy, copy.deepcopy(net), or use search.fit_all."


class Turn:
    """Which thread trains the tensors of a network and its parts.

    forward, backward  how many passes custom loops have made, forward in training
    """

    def __init__(self) -> None:
        self._free, self._thread = threading.Lock(), 0
        self._passes = self.forward = self.backward = 0
        self._bound = 0, 0
        self._looping: set[int] = set()

    @contextmanager
    def taken(self, what: str) -> Iterator[None]:
        """A context for training. Raises SettingError while another thread trains."""
        if self._thread == threading.get_ident():
            yield  # fit in a callback of fit
            return
        if not self._free.acquire(blocking=False):
            raise SettingError(f"{what}: another thread is training this network, or a part of it. {ONE}")
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = 0
            self._free.release()

    def begin(self, what: str, training: bool = True) -> None:
        """Note the thread of a pass of a custom loop. Raises SettingError while another thread trains in `taken`."""
        self.forward += training
        self._passes = me = threading.get_ident()
        self._looping.add(me)
        if self._thread not in (0, me):
            raise SettingError(f"{what}: another thread is training this network, or a part of it. {ONE}")

    def go_on(self, what: str) -> None:
        """Raise SettingError if another thread has made a pass of a custom loop since this one made its last pass."""
        me = threading.get_ident()
        if self._passes != me and me in self._looping:
            raise SettingError(f"{what}: another thread has called net.forward since. {ONE}")

    def bind(self) -> int:
        """Note that a stepper makes its first step; return how many did so in as many successive passes."""
        last, count = self._bound
        self._bound = self.forward, count + 1 if last == self.forward - 1 else 1
        return self._bound[1]
