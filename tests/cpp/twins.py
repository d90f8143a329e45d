"""A function on tensors, made by torch and by the C++ of its tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphdl.cpp import Compiled, Roles, compile_tape
from graphdl.execution.recorder import recording
from graphdl.execution.replay import TorchCalls
from graphdl.execution.tape import Slot, Tape


def recorded(function: Callable[..., object], *tensors: Tensor) -> tuple[Tape, list[Slot]]:
    """The tape of a function, and the slots of what it returns."""
    with recording() as recorder:
        found = function(*tensors)
    results = [found] if isinstance(found, Tensor) else [each for each in found or () if isinstance(each, Tensor)]
    slots = [recorder.slot(each) for each in results]
    return recorder.tape(), slots


def roles_of(tape: Tape, results: Sequence[Slot], **changes) -> Roles:
    """Everything is before the guard; one more result is the number that must be finite, a constant 0."""
    fields = {"moving": (), "working": (), "guard": len(tape.calls), "results": tuple(results)}
    return Roles(**{**fields, "finite": None, **changes})


class Twin:
    """A compiled function with its memory."""

    def __init__(self, function: Callable[..., object], *tensors: Tensor, torch_calls: bool = False, **changes) -> None:
        self.zero = torch.zeros(())

        def with_zero(*given):
            found = function(*given)
            self.zero.mul_(1)
            return (*([found] if isinstance(found, Tensor) else found or ()), self.zero)

        self.tape, slots = recorded(with_zero, *tensors)
        *results, finite = slots
        self.results = results
        roles, self.calls = roles_of(self.tape, results, **{"finite": finite, **changes}), TorchCalls(self.tape)
        self.compiled: Compiled = compile_tape(self.tape, roles, self.calls if torch_calls else None)
        self.workspace = self.calls.make_workspace(self.compiled.workspace)

    def run(self, count: int = 1, replaced: dict[int, int] | None = None) -> tuple[int, list[Tensor]]:
        """Run on the memory of the tensors; what it returns, (count, ...)."""
        found = [torch.full((count, *slot.shape), -77).to(slot.dtype) for slot in self.results]
        given = self.tape.given
        self.compiled.place([given[k].data_ptr() for k in self.compiled.given], self.workspace.data_ptr())
        self.compiled.prepare(list((replaced or {}).values()), [each.data_ptr() for each in found], count)
        self.compiled.run()
        return self.compiled.made, found


def assert_twins(function: Callable[..., object], *tensors: Tensor, torch_calls: bool = False) -> Twin:
    """What C++ writes and returns is what torch writes and returns."""
    before = [each.clone() for each in tensors]
    twin = Twin(function, *tensors, torch_calls=torch_calls)  # which records it, and so makes it once
    for tensor, old in zip(tensors, before, strict=True):
        tensor.copy_(old)
    start = {number: bytes_of(storage).clone() for number, storage in twin.tape.given.items()}
    found = function(*tensors)
    returned = [found] if isinstance(found, Tensor) else [each for each in found or () if isinstance(each, Tensor)]
    expected = [each.clone() for each in (*returned, *tensors)]
    for number, storage in twin.tape.given.items():
        bytes_of(storage).copy_(start[number])
    done, results = twin.run()
    assert done == 1
    single = any(each.dtype == torch.float32 for each in (*tensors, *expected))
    for k, (one, other) in enumerate(zip([*(each[0] for each in results), *tensors], expected, strict=True)):
        finite = other[other.isfinite()].abs() if other.is_floating_point() else other.new_zeros(0)
        scale = max(1.0, float(finite.max())) if finite.numel() else 1.0
        limit = (1e-5 if single else 1e-9) * scale if other.is_floating_point() else 0
        torch.testing.assert_close(one, other, rtol=0, atol=limit, equal_nan=True, msg=lambda m, k=k: f"{k}: {m}")
    return twin


def bytes_of(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(storage)
