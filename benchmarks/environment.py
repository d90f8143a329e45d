"""Settings before torch and JAX are imported: one thread, and the folders of caches and results."""

from __future__ import annotations

import os
import platform
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "out" / "benchmarks"

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "KINETO_LOG_LEVEL": "99",  # torch's profiler is silent
}


def take_one_thread() -> None:
    """Give every library one thread. Called before any of them is imported."""
    os.environ.update(ONE_THREAD)


def machine() -> str:
    """What this is measured on."""
    import torch

    return (
        f"{_processor()}, {os.cpu_count()} cores, one thread used; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _processor() -> str:
    """The processor's name and architecture, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()
