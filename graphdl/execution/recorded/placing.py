"""Where the tensors of recorded calls lie when the calls are replayed, and whether that is worth it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from torch import Tensor

from graphdl.execution.recorded.arena import Plot, lay_out
from graphdl.execution.recorded.tape import Call, Slot

MOST_BYTES = 2**23
"""How much the tensors of a step that is replayed may take. Above it the calls cost little beside their work."""

MOST_COPIED = 2**17
"""How much of a batch and of results may be copied into their places in a step that is replayed."""


def replay_bytes(calls: Sequence[Call], kept: Collection[int], inputs: Iterable[Tensor]) -> int | None:
    """The bytes that a replay of these calls needs beside copies of the inputs; None where it is not worth that."""
    copied = sum(tensor.nbytes for tensor in inputs)
    copied += sum(layout.bytes for call in calls if not (call.is_view or call.writes) for _, layout in call.made)
    if copied > MOST_COPIED:
        return None
    _, total = place(calls, kept)
    return total if total <= MOST_BYTES else None


def place(calls: Sequence[Call], kept: Collection[int]) -> tuple[dict[int, int], int]:
    """Slot -> offset of each tensor that the calls make, and the bytes that hold them all.

    Tensors that are never needed at the same time may have the same place.
    """
    roots = _roots(calls)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for position, call in enumerate(calls):
        for slot in call.slots():
            if slot in roots:
                first.setdefault(roots[slot], position)
                last[roots[slot]] = position
        sizes.update((slot, layout.bytes) for slot, layout in call.made if roots.get(slot) == slot)
    for slot in kept:
        if slot in roots:
            last[roots[slot]] = len(calls)
    slots = list(sizes)
    offsets, total = lay_out([Plot(first[slot], last[slot], sizes[slot]) for slot in slots])
    return dict(zip(slots, offsets, strict=True)), total


def _roots(calls: Sequence[Call]) -> dict[int, int]:
    """Slot -> the slot whose memory it shares, itself if it has its own; views of other tensors are left out."""
    roots: dict[int, int] = {}
    for call in calls:
        for slot, _ in call.made:
            if not call.is_view:
                roots[slot] = slot
            elif isinstance(call.args[0], Slot) and call.args[0].index in roots:
                roots[slot] = roots[call.args[0].index]
    return roots
