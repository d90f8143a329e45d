"""A meter of the calls of torch: what they compute, and how many bytes live."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from functools import partial
from typing import Any

import torch

from graphdl.execution.cost.nests import storage_of, tensors
from graphdl.execution.cost.scratch import bytes_within
from graphdl.execution.recorded.tape import Watcher

MOVES = {
    "_to_copy", "cat", "clone", "constant_pad_nd", "copy_", "embedding", "fill_", "full", "full_like", "index",
    "new_zeros", "ones", "ones_like", "scalar_tensor", "stack", "zero_", "zeros", "zeros_like",
}  # fmt: skip
"""Kernels that move numbers or write them, and compute nothing."""

Place = tuple[str, int]


class Meter(Watcher):
    """A context that measures the calls made in it. Views and kernels that share memory cost nothing.

    device  where the calls will be made in earnest

    flops  (file, line) of a program -> the operations asked for there
    live   the bytes of the tensors that a call made or met and that still exist, each piece of memory once
    peak   the most of them so far
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self.flops: Counter[Place] = Counter()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def make(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call and measure it."""
        self.watch((args, kwargs))
        before = self.live
        result = func(*args, **kwargs)
        self.watch(result)
        if not _is_view(func):
            self.flops[place_in_program()] += operations(func, args, kwargs, result)
            if not func._schema.is_mutable:
                within = bytes_within(func._overloadpacket.__name__, args, result, self._device)
                self.peak = max(self.peak, before + within)
        return result

    def watch(self, nested: Any) -> None:
        """Count these tensors as long as they live."""
        for tensor in tensors(nested):
            key = storage_of(tensor)
            if key not in self._known:
                storage = tensor.untyped_storage()
                size = storage.nbytes()
                self._known[key] = weakref.ref(storage, partial(self._leave, key, size))
                self.live += size
                self.peak = max(self.peak, self.live)

    def _leave(self, key: int, size: int, _: object) -> None:
        del self._known[key]
        self.live -= size


def place_in_program() -> Place:
    """The line of generated code that is being run."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<graphdl "):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "", 0


def operations(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """The operations of a kernel: 2 a multiply-add of a product or a convolution, else one an element it returns."""
    from torch.utils.flop_counter import flop_registry  # a heavy import, needed here alone

    packet = func._overloadpacket
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=result))
    name = packet.__name__
    if name in ("mv", "dot"):
        return 2 * int(args[0].numel())
    if name in MOVES or name.startswith(("empty", "new_empty")):
        return 0
    return max((tensor.numel() for tensor in tensors(result)), default=0)


def _is_view(func: Any) -> bool:
    schema = func._schema
    return not schema.is_mutable and any(each.alias_info is not None for each in schema.returns)
