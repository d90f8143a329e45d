"""A step of a tape, compiled."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

from graphdl.cpp.cache import library
from graphdl.cpp.program import Roles, written_step
from graphdl.errors import CompileError
from graphdl.execution.tape import Tape

TorchCall: TypeAlias = Callable[[int, Sequence[int]], None]
"""Makes a call of the tape, given its position and the address of each of its slots."""

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p))
"""A call of torch: its position and the addresses of its slots, followed by a word that it sets as its last act."""


class Compiled:
    """A step in C++.

    workspace  the bytes of memory that it needs, 64-byte aligned and 0 at first
    given      the order of the given storages
    made       the steps that the last run has made, also if it was interrupted
    failure    the exception of a torch call that ended the last run, and whether parameters had not been changed before
    """

    def __init__(self, tape: Tape, roles: Roles, torch_call: TorchCall | None) -> None:
        self.given = tuple(sorted(tape.given))
        without_memory: dict[int, Any] = dict.fromkeys(tape.given)
        self._tape, self._roles, self._torch_call = replace(tape, given=without_memory), roles, torch_call
        found = library(self._description(), lambda: self.source)
        self._steps = found.make_steps
        self._steps.argtypes = [*[ctypes.c_void_p] * 3, CALLBACK, ctypes.c_int64, ctypes.c_void_p]
        self._steps.restype, found.workspace.restype = ctypes.c_bool, ctypes.c_int64
        self.workspace = int(found.workspace())
        self._slots = [len(call.slots()) for call in tape.calls]
        self._made = ctypes.c_int64(0)
        self.failure: tuple[BaseException, bool] | None = None
        self._addresses = (ctypes.c_void_p * max(len(self.given), 1))()
        self._moving = [self.given.index(storage) for storage in roles.moving]
        itself = weakref.ref(self)  # or its memory would wait for the garbage collector
        self._callback = CALLBACK(lambda position, addresses: itself()._call_back(position, addresses))  # type: ignore

    @cached_property
    def source(self) -> str:
        """The text."""
        return written_step(self._tape, self._roles, self._torch_call is not None)

    @property
    def made(self) -> int:
        """The steps that the last run has made."""
        return self._made.value

    def place(self, given: Sequence[int], workspace: int) -> None:
        """Say where the given storages are, in the order of `given`, and the workspace."""
        self._addresses[: len(given)] = list(given)
        self._workspace = workspace

    def run(self, moving: Sequence[int], results: Sequence[int], count: int) -> None:
        """Make so many steps.

        moving, results  addresses of (count, ...), in the order of the roles

        Raises KeyboardInterrupt.
        """
        self._made.value, self.failure = 0, None
        for k, address in zip(self._moving, moving, strict=True):
            self._addresses[k] = address
        found = (ctypes.c_void_p * max(len(results), 1))(*results)
        made = ctypes.byref(self._made)
        done = self._steps(self._addresses, found, self._workspace, self._callback, count, made)
        if not done and self.failure is None:  # what interrupts a callback outside its `try` is lost in ctypes
            raise KeyboardInterrupt
        if self.failure is not None and not isinstance(self.failure[0], Exception):
            raise self.failure[0]

    def _call_back(self, position: int, addresses: Any) -> None:
        """Make a call that the text leaves to torch. An exception must not pass through C++."""
        try:
            assert self._torch_call is not None
            size = self._slots[position]
            self._torch_call(position, addresses[:size])
            addresses[size] = 1
        except BaseException as failure:
            self.failure = failure, position < self._roles.guard

    def _description(self) -> str:
        """All that the text depends on."""
        tape = self._tape
        calls = (f"{call.function} {call.args} {dict(call.kwargs)} {call.results} {call.made}" for call in tape.calls)
        rest = (tape.storages, sorted(tape.given), self._roles, self._torch_call is not None)
        return "\n".join([*calls, *map(str, rest)])


def compile_tape(tape: Tape, roles: Roles, torch_call: TorchCall | None = None) -> Compiled:
    """The step of a tape in C++.

    torch_call  makes the calls that have no form in C++. Without it, these raise CompileError.

    Raises CompileError, with the reason, if the tape cannot be compiled.
    """
    if tape.obstacle:
        raise CompileError(tape.obstacle)
    return Compiled(tape, roles, torch_call)
