"""Interleaved timing: every contestant in every round, so that a change of the machine's speed meets all alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch


def interleave(contestants: Mapping[str, Callable[[], object]], rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds a call of each contestant, one figure a round; a first round warms up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, call in contestants.items():
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            if number:
                seconds[name].append((time.perf_counter() - start) / repeats)
    return seconds


def table(seconds: Mapping[str, list[float]], reference: str, unit: float, unit_name: str) -> str:
    """A line a contestant: median, spread, and how many times faster than it the reference is."""
    width = max(map(len, seconds))
    base = statistics.median(seconds[reference])
    lines = [f"{'':{width}}  {'median ' + unit_name:>12}  {'min':>8}  {'max':>8}  {'ratio':>7}"]
    for name, figures in seconds.items():
        median = statistics.median(figures)
        lines.append(
            f"{name:{width}}  {median / unit:12.1f}  {min(figures) / unit:8.1f}  {max(figures) / unit:8.1f}"
            f"  {median / base:6.2f}x"
        )
    return "\n".join(lines)


def machine() -> str:
    """What this was measured on."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    )
