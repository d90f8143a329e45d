"""Seconds until the first training step is done: compiled and eager, in a fresh process and in later ones.

Each figure is from a separate process. It is the time from the import of torch and graphdl to the end of the first
step, which includes the construction of the net, the import of the compiler and the compilation. In the first process
the caches of graphdl (GRAPHDL_CACHE) and of torch (TORCHINDUCTOR_CACHE_DIR) are empty folders; later processes use what
the first one stored. Compilers use one thread, as everything here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks import charts
from benchmarks.environment import ROOT
from benchmarks.nets import COMPILED, FUSED, REFERENCE, TORCH_COMPILED
from benchmarks.results import Result, Table, join_skipped

CONTESTANTS = (COMPILED, TORCH_COMPILED, REFERENCE, FUSED)
NETS = {"perceptron": 3, "residual": 1}  # and how often each begins with empty caches
LATER = 1  # processes after each first one
PATIENCE = 600  # seconds

CHARTS = {"compile_time": charts.grouped_bars}


def run(quick: bool = False) -> Result:
    """Every net and contestant, one after another, in processes."""
    found: dict[tuple[str, str], list[float]] = {}
    skipped: dict[str, dict[str, str]] = {name: {} for name in NETS}
    for net, rounds in ({"perceptron": 1} if quick else NETS).items():
        for _ in range(rounds):
            for contestant in CONTESTANTS:
                if contestant in skipped[net]:
                    continue
                try:
                    first, *later = in_processes(net, contestant)
                except RuntimeError as error:
                    skipped[net][contestant] = str(error)
                    continue
                found.setdefault((f"{net}, first process", contestant), []).append(first)
                found.setdefault((f"{net}, later processes", contestant), []).extend(later)
    reference = COMPILED if any(contestant == COMPILED for _, contestant in found) else REFERENCE
    table = Table("Time to the first training step", "s", reference)
    for (group, contestant), seconds in sorted(found.items(), key=lambda item: _place(*item[0])):
        table.add(group, {contestant: seconds})
    return Result("compile_time", [table], join_skipped(skipped))


def _place(group: str, contestant: str) -> tuple[int, bool, int]:
    net, _, when = group.partition(", ")
    return list(NETS).index(net), when.startswith("later"), CONTESTANTS.index(contestant)


def in_processes(net: str, contestant: str) -> list[float]:
    """The seconds of a first process and of later ones that use its caches."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {"GRAPHDL_CACHE": f"{folder}/graphdl", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch"}
        return [_in_process(net, contestant, caches) for _ in range(1 + LATER)]


def _in_process(net: str, contestant: str, caches: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.first_step", net, contestant]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **caches}, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no step after {PATIENCE} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word"]
        raise RuntimeError(lines[-1].removeprefix("absent: ")[:200])
    return float(done.stdout.split()[-1])
