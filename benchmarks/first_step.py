"""One contestant of `nets` in a separate process: python -m benchmarks.first_step NET CONTESTANT prints seconds.

The time runs from when torch and graphdl are imported and the net exists to the end of the first training step.
"""

from __future__ import annotations

import sys
import time

from benchmarks.environment import take_one_thread


def main(net: str, contestant: str) -> None:
    """Make the contestant, make one step, and print the time."""
    take_one_thread()
    import torch

    from benchmarks.nets import makers
    from benchmarks.timing import Absent

    torch.set_num_threads(1)
    make = makers(net, compiled_steps=1)[contestant]
    start = time.perf_counter()
    try:
        make()()
    except Absent as error:
        sys.exit(f"absent: {error}")
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
