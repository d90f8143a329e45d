"""A function on tensors, made by torch and by the C++ of its tape."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from graphdl.cpp import Compiled, Roles, compile_tape
from graphdl.execution.tape import Slot, Tape, recording

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-9}


def recorded(function: Callable[..., object], *tensors: Tensor) -> tuple[Tape, list[Slot]]:
    """The tape of a function, and the slots of what it returns."""
    with recording() as recorder:
        found = function(*tensors)
    results = [found] if isinstance(found, Tensor) else [each for each in found or () if isinstance(each, Tensor)]
    slots = [recorder.slot(each) for each in results]
    return recorder.tape(), slots


def aligned(size: int) -> Tensor:
    memory = torch.zeros(size + 64, dtype=torch.uint8)
    return memory[-memory.data_ptr() % 64 :][:size]


def roles_of(tape: Tape, results: Sequence[Slot], **changes) -> Roles:
    """Everything is before the guard; one more result is the number that must be finite, a constant 0."""
    fields = {"moving": (), "working": (), "guard": len(tape.calls), "results": tuple(results), "constants": {}}
    return Roles(**{**fields, "finite": None, **changes})


class Twin:
    """A compiled function with its memory."""

    def __init__(self, function: Callable[..., object], *tensors: Tensor, **changes) -> None:
        self.zero = torch.zeros(())

        def with_zero(*given):
            found = function(*given)
            self.zero.mul_(1)
            return (*([found] if isinstance(found, Tensor) else found or ()), self.zero)

        self.tape, slots = recorded(with_zero, *tensors)
        *results, finite = slots
        self.results = results
        self.compiled: Compiled = compile_tape(self.tape, roles_of(self.tape, results, **{"finite": finite, **changes}))
        self.workspace = aligned(self.compiled.workspace)

    def run(self, count: int = 1, replaced: dict[int, int] | None = None) -> tuple[int, list[Tensor]]:
        """Run on the memory of the tensors; what it returns, (count, ...)."""
        found = [torch.full((count, *slot.shape), -77).to(slot.dtype) for slot in self.results]
        pointers = [(replaced or {}).get(number, self.tape.given[number].data_ptr()) for number in self.compiled.given]
        done = self.compiled.run(pointers, [each.data_ptr() for each in found], self.workspace.data_ptr(), count)
        return done, found


def assert_twins(function: Callable[..., object], *tensors: Tensor, tolerance: float | None = None) -> Twin:
    """What C++ writes and returns is what torch writes and returns."""
    before = [each.clone(memory_format=torch.preserve_format) for each in tensors]
    twin = Twin(function, *tensors)
    start = [torch.empty(0, dtype=torch.uint8).set_(storage).clone() for storage in twin.tape.given.values()]
    for tensor, old in zip(tensors, before, strict=True):
        tensor.copy_(old)
    start = {number: bytes_of(storage).clone() for number, storage in twin.tape.given.items()}
    expected = function(*tensors)
    expected = [expected] if isinstance(expected, Tensor) else [e for e in expected or () if isinstance(e, Tensor)]
    expected = [each.clone() for each in expected]
    after = [each.clone() for each in tensors]
    for number, storage in twin.tape.given.items():
        bytes_of(storage).copy_(start[number])
    done, found = twin.run()
    assert done == 1
    for k, (one, other) in enumerate(zip([f[0] for f in found] + list(tensors), expected + after, strict=True)):
        limit = tolerance or TOLERANCES.get(other.dtype, 0)
        if torch.float32 in {t.dtype for t in tensors}:
            limit = max(limit, 1e-5)
        torch.testing.assert_close(one, other, rtol=limit, atol=limit, equal_nan=True, msg=lambda m, k=k: f"{k}: {m}")
    return twin


def bytes_of(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(storage)
