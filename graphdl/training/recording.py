"""A training step of a small network, recorded once and replayed from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.execution.executor import Trace
from graphdl.execution.recorded.placing import replay_bytes
from graphdl.execution.recorded.replay import Bound, Replay
from graphdl.execution.recorded.tape import Call, Recorder, Slot, exchange
from graphdl.graph import Key

Layouts: TypeAlias = tuple[tuple[torch.Size, torch.dtype], ...]


def layout_of(inputs: Mapping[Key, Tensor]) -> Layouts:
    """What tells batches apart that need different calls."""
    return tuple([(tensor.shape, tensor.dtype) for tensor in inputs.values()])


class Recording:
    """The calls of a training step on batches of one layout.

    The first step records them while the operators make them, the second binds them to buffers, and from the third on
    they are repeated. A step that fails midway is begun again by the next one.

    of_use  whether they can be repeated: they read no number in Python, and are small enough
    """

    def __init__(self, inputs: Mapping[Key, Tensor]) -> None:
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        self._given = list(self._inputs.values())
        self._calls: list[Call] | None = None
        self._forward: list[Bound] | None = None
        self._backward: list[Bound] | None = None
        self._split = 0
        self._values: list[Any] = []
        self._kept: list[int] = []
        self._trace = Trace([], [])
        self.of_use = True

    def forward(self, run: Callable[[Mapping[Key, Tensor]], Trace], inputs: Mapping[Key, Tensor]) -> Trace:
        """Compute the values of a batch; `run` does so by the operators."""
        torch._foreach_copy_(self._given, [inputs[name] for name in self._inputs])
        if self._forward is not None:
            for call in self._forward:
                call()
            return self._trace
        if self._calls is not None:
            self._replay = Replay(self._calls, self._kept)
            self._forward = self._replay.bind(0, self._split)
            self._trace = Trace(exchange(self._values, Slot, lambda slot: self._replay.tensors[slot.index]), [])
            return self._trace
        self._recorder = Recorder()
        with self._recorder:
            trace = run(self._inputs)
        self._split = len(self._recorder.calls)
        self._values = exchange(trace.values, Tensor, self._recorder.stand_in)
        return trace

    def backward(self, run: Callable[[Trace], None], trace: Trace) -> None:
        """Send the gradients back and move the parameters; `run` does so by the operators."""
        if self._backward is not None:
            for call in self._backward:
                call()
        elif self._calls is not None:
            self._backward = self._replay.bind(self._split, len(self._calls))
        else:
            with self._recorder:
                run(trace)
            self._calls = self._recorder.calls
            self._kept.clear()
            exchange(self._values, Slot, lambda slot: self._kept.append(slot.index))
            needed = replay_bytes(self._calls, self._kept, self._given)
            self.of_use = self._recorder.fixed and needed is not None
