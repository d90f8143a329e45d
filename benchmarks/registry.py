"""The benchmarks by name: a name -> the module whose `run() -> Result` measures, in the order of the report.

A module's docstring is what the report says about it. Modules are imported when they are needed, since the number of
threads is settled before torch is imported.
"""

from __future__ import annotations

import importlib
from types import ModuleType

BENCHMARKS = {
    name: f"benchmarks.{name}"
    for name in (
        "step",
        "sweep",
        "sizes",
        "nets",
        "memory",
        "compiled_fit",
        "catalogue",
        "limits",
        "compile_time",
        "overhead",
        "graph_growth",
        "large_graphs",
    )
}


def module(name: str) -> ModuleType:
    """The module of a benchmark."""
    return importlib.import_module(BENCHMARKS[name])
