"""A step of a tape, compiled."""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from copy import copy
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


class Work(ctypes.Structure):
    """What a call of C++ is given, and what it returns: as in step.h."""

    _fields_ = (
        ("given", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("call", CALLBACK),
        ("rows", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("made", ctypes.c_int64),
        ("whole", ctypes.c_bool),
    )


class Compiled:
    """A step in C++, bound to memory.

    workspace  the bytes of memory that it needs, 64-byte aligned and 0 at first
    given      the order of the given storages
    calls_torch  whether it leaves calls to torch
    made       the steps that the last run has made, even if it was interrupted
    seconds    how long it took, with the other networks of the same call
    failure    the exception of a torch call that ended the last run, and whether parameters had not been changed before
    """

    def __init__(self, tape: Tape, roles: Roles, torch_call: TorchCall | None) -> None:
        self.given = tuple(sorted(tape.given))
        without_memory: dict[int, Any] = dict.fromkeys(tape.given)
        self._tape, self._roles, self._torch_call = replace(tape, given=without_memory), roles, torch_call
        self._library = found = library(self._description(), lambda: self.source)
        self._steps = found.make_steps
        self._steps.argtypes, self._steps.restype = [ctypes.c_void_p, ctypes.c_int64], None
        found.workspace.restype, found.calls_torch.restype = ctypes.c_int64, ctypes.c_bool
        self.workspace, self.calls_torch = int(found.workspace()), bool(found.calls_torch())
        self._slots = [len(call.slots()) for call in tape.calls]
        self._moving = [self.given.index(storage) for storage in roles.moving]
        self._bind()

    def _bind(self) -> None:
        """Make what differs between networks that have the same step."""
        self.failure: tuple[BaseException, bool] | None = None
        self.seconds = 0.0
        self._addresses = (ctypes.c_void_p * max(len(self.given), 1))()
        self._found = (ctypes.c_void_p * max(len(self._roles.results), 1))()
        itself = weakref.ref(self)  # or its memory would wait for the garbage collector
        self._callback = CALLBACK(lambda position, addresses: itself()._call_back(position, addresses))  # type: ignore
        self._work = Work(ctypes.addressof(self._addresses), ctypes.addressof(self._found), call=self._callback)

    def unbound(self) -> Compiled:
        """The same step, to be bound to the memory of another network; it can leave nothing to torch."""
        other = copy(self)
        other._torch_call = None
        other._bind()
        return other

    @cached_property
    def source(self) -> str:
        """The text."""
        return written_step(self._tape, self._roles, self._torch_call is not None)

    @property
    def made(self) -> int:
        """The steps that the last run has made."""
        return int(self._work.made)

    def place(self, given: Sequence[int], workspace: int) -> None:
        """Say where the given storages are, in the order of `given`, and the workspace."""
        self._addresses[: len(given)] = list(given)
        self._work.workspace = workspace

    def prepare(self, moving: Sequence[int], results: Sequence[int], count: int, rows: int | None = None) -> None:
        """Say how many steps the next run makes, and on what.

        moving, results  addresses of (count, ...), in the order of the roles
        rows             address of (count, n), the rows of each batch; then `moving` has the data set for each batch
        """
        work, self.failure = self._work, None
        for k, address in zip(self._moving, moving, strict=True):
            self._addresses[k] = address
        self._found[: len(results)] = list(results)
        work.rows, work.count, work.made, work.whole = rows, count, 0, False

    def forget(self) -> None:
        """Forget the last run."""
        self._work.made, self._work.whole, self.failure = 0, True, None

    def check(self) -> None:
        """Raise KeyboardInterrupt if the last run was interrupted."""
        if not self._work.whole and self.failure is None:  # what interrupts a callback outside its `try` is lost
            raise KeyboardInterrupt
        if self.failure is not None and not isinstance(self.failure[0], Exception):
            raise self.failure[0]

    def run(self, others: Sequence[Compiled] = ()) -> None:
        """Make the steps that were prepared, and then those of other networks that have the same step."""
        works = [ctypes.addressof(each._work) for each in (self, *others)]
        start = time.perf_counter()
        self._steps((ctypes.c_void_p * len(works))(*works), len(works))
        taken = time.perf_counter() - start
        for each in (self, *others):
            each.seconds = taken

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


def run_all(several: Iterable[Compiled]) -> None:
    """Make the steps that each was prepared for: those of one library by one call."""
    groups: dict[ctypes.CDLL, list[Compiled]] = {}
    for each in several:
        groups.setdefault(each._library, []).append(each)
    for first, *others in groups.values():
        first.run(others)


def compile_tape(tape: Tape, roles: Roles, torch_call: TorchCall | None = None) -> Compiled:
    """The step of a tape in C++.

    torch_call  makes the calls that have no form in C++. Without it, these raise CompileError.

    Raises CompileError, with the reason, if the tape cannot be compiled.
    """
    if tape.obstacle:
        raise CompileError(tape.obstacle)
    return Compiled(tape, roles, torch_call)
