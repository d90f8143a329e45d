"""A step of a tape, compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch

from graphdl.cpp.build import build
from graphdl.cpp.products import blas
from graphdl.cpp.program import Roles, written_step
from graphdl.errors import CompileError
from graphdl.execution.tape import Tape


class Compiled:
    """A step in C++.

    source     the text
    workspace  the bytes of memory that it needs, 64-byte aligned and 0 at first
    given      the order of the given storages
    """

    def __init__(self, tape: Tape, roles: Roles) -> None:
        self.given = tuple(sorted(tape.given))
        self.source = written_step(tape, roles)
        self._library = library = build(self.source)
        self._steps = library.make_steps
        self._steps.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64]
        self._steps.restype = library.workspace.restype = library.products.restype = ctypes.c_int64
        self.workspace = int(library.workspace())
        products = int(library.products())
        needed = (blas(t) if products & k else 0 for k, t in ((1, torch.float32), (2, torch.float64)))
        self._blas = (ctypes.c_void_p * 2)(*needed)

    def run(self, given: Sequence[int], results: Sequence[int], workspace: int, count: int) -> int:
        """Make so many steps; return how many were made."""
        pointers = ((ctypes.c_void_p * max(len(each), 1))(*each) for each in (given, results))
        return int(self._steps(*pointers, workspace, self._blas, count))


def compile_tape(tape: Tape, roles: Roles) -> Compiled:
    """The step of a tape in C++. CompileError says why it cannot be compiled."""
    if tape.obstacle:
        raise CompileError(tape.obstacle)
    return Compiled(tape, roles)
