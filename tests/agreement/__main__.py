"""The campaign: python -m tests.agreement --networks 2000 --jobs 2. It ends with 1 if any way disagrees with torch."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, defaultdict

from tests.agreement.campaign import Verdict
from tests.agreement.ways import COMPILING, WAYS
from tests.agreement.workers import check_all

WRONG = "disagreed", "failed"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.agreement", description=__doc__)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first network; the others follow")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--compile-every", type=int, default=5, help="one network in so many is compiled")
    parser.add_argument("--compiler", help="g++ or clang++")
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


class Report:
    """Counts of verdicts by way."""

    def __init__(self) -> None:
        self.verdicts: dict[str, Counter[str]] = defaultdict(Counter)
        self.unused: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.warnings: dict[str, list[int]] = defaultdict(list)
        self.wrong: list[Verdict] = []

    def add(self, verdict: Verdict) -> None:
        counts = self.verdicts[verdict.way]
        counts[verdict.verdict] += 1
        counts["used"] += verdict.used
        if verdict.reason:
            self.unused[verdict.way][verdict.reason[:120]].append(verdict.seed)
        for text in verdict.warnings:
            if not text.startswith("fit(compile=True) trains step by step"):
                self.warnings[f"{verdict.way}: {text[:160]}"].append(verdict.seed)
        if verdict.verdict in WRONG:
            self.wrong.append(verdict)
        if verdict.verdict not in ("agreed", "not made"):
            print(f"seed {verdict.seed}, {verdict.way}: {verdict.verdict}: {verdict.text[:600]}", flush=True)

    def print(self) -> None:
        columns = "agreed", "ill-conditioned", "chaotic", "disagreed", "failed", "not made", "used"
        print(f"{'way':<12}", *(f"{column:>15}" for column in columns))
        for way, counts in self.verdicts.items():
            print(f"{way:<12}", *(f"{counts[column]:>15}" for column in columns))
        for way, reasons in self.unused.items():
            print(f"{way} was not used:")
            for reason, seeds in sorted(reasons.items(), key=lambda item: -len(item[1])):
                print(f"  {len(seeds):>5}  {reason}  (seeds {', '.join(map(str, seeds[:5]))})")
        for text, seeds in self.warnings.items():
            print(f"warned {len(seeds)} times (seeds {', '.join(map(str, seeds[:5]))}): {text}")


def main() -> int:
    options = arguments()
    if options.compiler:
        os.environ["CXX"] = options.compiler
    steady = tuple(way for way in options.ways if way not in COMPILING)
    seeds = range(options.seed, options.seed + options.networks)
    tasks = ((s, tuple(options.ways) if (s - options.seed) % options.compile_every == 0 else steady) for s in seeds)
    report, start = Report(), time.monotonic()
    for k, verdicts in enumerate(check_all((task for task in tasks if task[1]), options.jobs), 1):
        for verdict in verdicts:
            report.add(verdict)
        if k % 100 == 0:
            print(f"{k} networks, {time.monotonic() - start:.0f} s", flush=True)
    report.print()
    print(f"{options.networks} networks, {time.monotonic() - start:.0f} s, {len(report.wrong)} wrong")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
