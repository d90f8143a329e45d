"""What the calls of a tape compute, and how many bytes live at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphdl.cost.scratch import bytes_within
from graphdl.execution.tape import Call, Slot, Tape, exchange

MOVES = {
    "_to_copy", "cat", "clone", "constant_pad_nd", "copy_", "embedding", "fill_", "full", "full_like", "index",
    "new_zeros", "ones", "ones_like", "scalar_tensor", "stack", "zero_", "zeros", "zeros_like",
}  # fmt: skip
"""Kernels that move numbers or write them, and compute nothing."""


def operations(call: Call) -> int:
    """The operations of a call: 2 a multiply-add of a product or a convolution, else one an element it returns."""
    from torch.utils.flop_counter import flop_registry  # a heavy import, needed here alone

    if call.name in MOVES or call.name.startswith(("empty", "new_empty")):
        return 0
    packet = call.function._overloadpacket
    if packet in flop_registry:
        args, kwargs = exchange((call.args, dict(call.kwargs)), Slot, hollow)
        results = tuple(None if slot is None else hollow(slot) for slot in call.results)
        return int(flop_registry[packet](*args, **kwargs, out_val=results if len(results) > 1 else results[0]))
    if call.name in ("mv", "dot"):
        return 2 * int(call.args[0].size)
    return max((slot.size for slot in call.results if slot is not None), default=0)


def hollow(slot: Slot) -> Tensor:
    """A tensor of a slot's layout without data."""
    return torch.empty_strided(slot.shape, slot.stride, dtype=slot.dtype, device="meta")


def peak_bytes(tape: Tape, device: torch.device) -> int:
    """The most bytes that live at once while the calls are made one after another, what was given among them."""
    live = peak = sum(tape.storages[storage] for storage in tape.given)
    dying: dict[int, list[int]] = {}
    for storage, position in tape.deaths.items():
        dying.setdefault(position, []).append(storage)
    for position, call in enumerate(tape.calls):
        live -= sum(tape.storages[storage] for storage in dying.get(position, ()))
        peak = max(peak, live + bytes_of_call(call, device))
        live += sum(tape.storages[storage] for storage in call.made)
        peak = max(peak, live)
    return peak


def bytes_of_call(call: Call, device: torch.device) -> int:
    """The most bytes that a call allocates at once, those of its results included."""
    if not call.made:
        return 0
    args: Any = exchange(call.args, Slot, hollow)
    return bytes_within(call.name, args, [None if slot is None else hollow(slot) for slot in call.results], device)
