"""Drawn nets, each trained by compiled steps and by the operators: python -m benchmarks.compiled_nets --count 1500."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.cpp.drawn import disagreement, nets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    wrong: Counter[str] = Counter()
    for net in nets(chosen.count, chosen.seed):
        if net.number < chosen.first:
            continue
        try:
            found = disagreement(net)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"[:200]
        if found:
            wrong["wrong"] += 1
            print(net, found, flush=True)
        if net.number % 100 == 99:
            print(net.number + 1, "nets,", wrong["wrong"], "wrong", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
