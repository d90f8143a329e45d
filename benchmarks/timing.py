"""Interleaved timing: every contestant in every round, so that a change of the machine's speed affects all equally."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

WARM_UP = 3  # calls; a graphdl net plans in the first ones

Contestants = Mapping[str, Callable[[], object]]


class Absent(Exception):  # noqa: N818 - no error
    """A contestant that cannot run here; its text says why."""


def interleave(contestants: Contestants, rounds: int = 7, seconds: float = 0.2) -> dict[str, list[float]]:
    """Seconds a call of each contestant, one figure a round.

    seconds  about how long a contestant's turn takes, one call at least

    Some calls warm up, the last of which tells how many make a turn. Each round begins with the next contestant.
    """
    turns = {name: _calls(call, seconds) for name, call in contestants.items()}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        first = number % max(1, len(names))
        gc.collect()
        for name in names[first:] + names[:first]:
            found[name].append(timed(contestants[name], turns[name]))
    return found


def _calls(call: Callable[[], object], seconds: float) -> int:
    for _ in range(WARM_UP - 1):
        call()
    return max(1, min(10_000, round(seconds / timed(call))))


def timed(call: Callable[[], object], repeats: int = 1) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def assemble(
    makers: Mapping[str, Callable[[], Callable[[], object]]], skipped: dict[str, str]
) -> dict[str, Callable[[], object]]:
    """Make every contestant and let it run once; those that cannot go into `skipped` with the reason."""
    contestants: dict[str, Callable[[], object]] = {}
    for name, make in makers.items():
        try:
            call = make()
            call()
        except Absent as error:
            skipped[name] = str(error)
        except ImportError as error:
            skipped[name] = f"{error.name or error} is not installed"
        except Exception as error:
            skipped[name] = f"it failed: {type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}"
        else:
            contestants[name] = call
    return contestants
