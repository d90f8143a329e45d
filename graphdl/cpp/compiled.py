"""A step of a tape, compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from graphdl.cpp.cache import library
from graphdl.cpp.products import blas
from graphdl.cpp.program import Roles, written_step
from graphdl.errors import CompileError
from graphdl.execution.tape import Tape


class Compiled:
    """A step in C++.

    workspace  the bytes of memory that it needs, 64-byte aligned and 0 at first
    given      the order of the given storages
    """

    def __init__(self, tape: Tape, roles: Roles) -> None:
        self.given = tuple(sorted(tape.given))
        without_memory: dict[int, Any] = dict.fromkeys(tape.given)
        self._tape, self._roles = replace(tape, given=without_memory), roles
        found = library(description(self._tape, roles), lambda: self.source)
        self._steps = found.make_steps
        self._steps.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64]
        self._steps.restype = found.workspace.restype = found.products.restype = ctypes.c_int64
        self.workspace = int(found.workspace())
        products = int(found.products())
        needed = (blas(t) if products & k else 0 for k, t in ((1, torch.float32), (2, torch.float64)))
        self._blas = (ctypes.c_void_p * 2)(*needed)

    @cached_property
    def source(self) -> str:
        """The text."""
        return written_step(self._tape, self._roles)

    def run(self, given: Sequence[int], results: Sequence[int], workspace: int, count: int) -> int:
        """Make so many steps; return how many were made.

        given, results  addresses, in the order of `given` and of the roles' results, which hold (count, ...)
        workspace       the address of the workspace
        """
        pointers = ((ctypes.c_void_p * max(len(each), 1))(*each) for each in (given, results))
        return int(self._steps(*pointers, workspace, self._blas, count))


def description(tape: Tape, roles: Roles) -> str:
    """All that the text of a step depends on."""
    calls = (f"{call.function} {call.args} {dict(call.kwargs)} {call.results} {call.made}" for call in tape.calls)
    settings = replace(roles, constants=tuple(sorted(roles.constants.items())))  # type: ignore[arg-type]
    return "\n".join([*calls, str(tape.storages), str(sorted(tape.given)), str(settings)])


def compile_tape(tape: Tape, roles: Roles) -> Compiled:
    """The step of a tape in C++. Raises CompileError, with the reason, if it cannot be compiled."""
    if tape.obstacle:
        raise CompileError(tape.obstacle)
    return Compiled(tape, roles)
