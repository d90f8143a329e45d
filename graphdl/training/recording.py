"""A training step of a small network, recorded once and replayed from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from graphdl.execution.executor import Trace
from graphdl.execution.replay import Bound, Replay, planned_bytes
from graphdl.execution.tape import Recorder, Slot
from graphdl.graph import Key

MOST_BYTES = 2**23
"""How much the tensors of a step that is replayed may take. Above it the calls cost little beside their work."""

Layouts: TypeAlias = tuple[tuple[torch.Size, torch.dtype], ...]


def layout_of(inputs: Mapping[Key, Tensor]) -> Layouts:
    """What tells batches apart that need different calls."""
    return tuple([(tensor.shape, tensor.dtype) for tensor in inputs.values()])


class Recording:
    """The calls of a training step on batches of one layout.

    The first step records them while the operators make them. The second binds them to buffers. From the third on they
    are repeated.

    of_use  whether they can be repeated: they read no number in Python, and are small enough
    """

    def __init__(self, inputs: Mapping[Key, Tensor]) -> None:
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        self._given = list(self._inputs.values())
        self._recorder = Recorder()
        self._replay: Replay | None = None
        self._forward: list[Bound] | None = None
        self._backward: list[Bound] | None = None
        self._trace = Trace([], [])
        self.of_use = True

    def forward(self, run: Callable[[Mapping[Key, Tensor]], Trace], inputs: Mapping[Key, Tensor]) -> Trace:
        """Compute the values of a batch; `run` does so by the operators."""
        torch._foreach_copy_(self._given, list(inputs.values()))
        if self._forward is not None:
            for call in self._forward:
                call()
            return self._trace
        if self._replay is None:
            with self._recorder:
                trace = run(self._inputs)
            self._split = len(self._recorder.calls)
            self._values = [value if value is None else self._recorder.stand_in(value) for value in trace.values]
            return trace
        self._forward = self._replay.bind(0, self._split)
        found = [self._replay.tensors[value.index] if isinstance(value, Slot) else value for value in self._values]
        self._trace = Trace(found, [])
        return self._trace

    def backward(
        self,
        run: Callable[[Mapping[Key, Tensor], Trace], None],
        inputs: Mapping[Key, Tensor],
        trace: Trace,
    ) -> None:
        """Send the gradients back and move the parameters; `run` does so by the operators."""
        if self._backward is not None:
            for call in self._backward:
                call()
        elif self._replay is not None:
            self._backward = self._replay.bind(self._split, len(self._recorder.calls))
        else:
            with self._recorder:
                run(inputs, trace)
            calls = self._recorder.calls
            self.of_use = self._recorder.fixed and planned_bytes(calls) <= MOST_BYTES
            self._replay = Replay(calls, {value.index for value in self._values if isinstance(value, Slot)})
