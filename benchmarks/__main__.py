"""The command line: python -m benchmarks [NAME ...] [--compiled] [--quick]."""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys

from benchmarks.environment import RESULTS, take_one_thread
from benchmarks.registry import BENCHMARKS, module


def main(arguments: list[str] | None = None) -> int:
    """Measure what is named and write the report; without a name measure everything, each in its own process."""
    take_one_thread()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory, side by side.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*BENCHMARKS, "report"]))
    parser.add_argument("--compiled", action="store_true", help="sizes: compiled steps too, which take minutes")
    parser.add_argument("--quick", action="store_true", help="short rounds, to try things out")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS) - {"report"}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join([*BENCHMARKS, 'report'])}")
    if not options.names:
        return _run_all(options.quick, options.compiled)
    for name in options.names:
        _report() if name == "report" else _measure(name, quick=options.quick, compiled=options.compiled)
    return 0


def _run_all(quick: bool, compiled: bool) -> int:
    """Every benchmark in a separate process, then the report."""
    for stale in RESULTS.glob("*.json"):
        stale.unlink()
    flags = ["--quick"] * quick + ["--compiled"] * compiled
    codes = [subprocess.call([sys.executable, "-m", "benchmarks", name, *flags]) for name in [*BENCHMARKS, "report"]]
    return max(codes)


def _measure(name: str, **options: bool) -> None:
    """Run one benchmark; print and store its tables."""
    import torch

    from benchmarks import tables

    torch.set_num_threads(1)
    run = module(name).run
    taken = inspect.signature(run).parameters
    result = run(**{option: value for option, value in options.items() if option in taken})
    print(f"\n== {name}: {result.machine}")
    for table in result.tables:
        print("\n" + tables.text(table))
    for what, reason in result.skipped.items():
        print(f"skipped: {what}: {reason}")
    for note in result.notes:
        print(f"note: {note}")
    result.save()
    sys.stdout.flush()


def _report() -> None:
    from benchmarks.report import write

    print(f"written: {', '.join(write())}")


if __name__ == "__main__":
    sys.exit(main())
