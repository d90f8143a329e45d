"""Places in one piece of memory for tensors that live for a while."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64
"""Bytes: a cache line."""


class Plot(NamedTuple):
    """A tensor's need: from its first to its last moment, both included, so many bytes."""

    first: int
    last: int
    bytes: int


def lay_out(plots: Sequence[Plot]) -> tuple[list[int], int]:
    """The offset of each plot, and the bytes that hold them all. Plots that overlap in time do so nowhere else.

    In the order of time, each takes the smallest gap that holds it.
    """
    order = sorted(range(len(plots)), key=lambda k: plots[k].first)
    ending: list[tuple[int, int, int]] = []  # last moment, offset, bytes; sorted
    gaps: list[tuple[int, int]] = []  # offset, bytes; sorted
    offsets = [0] * len(plots)
    total = 0
    for k in order:
        expired = 0
        while expired < len(ending) and ending[expired][0] < plots[k].first:
            _, offset, size = ending[expired]
            insort(gaps, (offset, size))
            expired += 1
        if expired:
            del ending[:expired]
            gaps = _joined(gaps)
        size = -(-max(plots[k].bytes, 1) // ALIGNMENT) * ALIGNMENT
        offsets[k], total = _take(gaps, size, total)
        insort(ending, (plots[k].last, offsets[k], size))
    return offsets, total


def _joined(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Gaps side by side as one."""
    joined: list[tuple[int, int]] = []
    for offset, size in gaps:
        if joined and sum(joined[-1]) == offset:
            joined[-1] = joined[-1][0], joined[-1][1] + size
        else:
            joined.append((offset, size))
    return joined


def _take(gaps: list[tuple[int, int]], size: int, total: int) -> tuple[int, int]:
    """An offset for so many bytes, from a gap or at the end, and the new total."""
    fitting = [gap for gap in gaps if gap[1] >= size]
    if fitting:
        gap = min(fitting, key=lambda gap: gap[1])
        gaps.remove(gap)
        if gap[1] > size:
            insort(gaps, (gap[0] + size, gap[1] - size))
        return gap[0], total
    if gaps and sum(gaps[-1]) == total:
        offset, _ = gaps.pop()
        return offset, offset + size
    return total, total + size
