"""Members of one structure side by side: each thread makes the steps of many of them by one call of C++."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeAlias

from graphdl.search.epochs import ALONE, Outcomes, Trained, epochs_ahead, make_epochs
from graphdl.search.interruption import Interruption
from graphdl.search.run import Run
from graphdl.search.ways import OneByOne, OutcomeStream, Way, can_compile
from graphdl.training.epochs import CompiledEpoch
from graphdl.training.step import TrainingStep

CompiledRun: TypeAlias = tuple[Run, CompiledEpoch]

MOST_TOGETHER, STEPS_TOGETHER = 32, 2048
"""How many members a call trains at most, and about how many steps it makes."""


class Together:
    """Members with the same compiled step, which works on the tensors and numbers of each.

    threads       how many; None takes all cores
    interruption  ends training in all threads before their next call of C++
    """

    name = "compiled"

    def __init__(self, threads: int | None, interruption: Interruption) -> None:
        self._threads, self._interruption = threads or os.cpu_count() or 1, interruption
        # Preparing a run is many short calls of torch, each of which lets go of the GIL: two threads that do so at the
        # same time spend most of it on passing the GIL to each other
        self._preparing = threading.Lock()

    def prepare(self, run: Run) -> Way:
        """Compile the step."""
        return self if can_compile(run) else OneByOne(False, self._threads)

    def __call__(self, runs: Iterable[Run], epochs: int) -> OutcomeStream:
        """Train the runs up to so many epochs; those of a call are yielded together."""
        waiting = deque(runs)
        del runs
        first = self._of(waiting.popleft())
        yield self._train([first], epochs)
        while waiting and first[0].member.state == "failed":
            first = self._of(waiting.popleft())
            yield self._train([first], epochs)
        trained = _unfinished([first, *(self._of(run, first) for run in waiting)], epochs)  # they use its step
        steps = len(first[0].batches) * epochs_ahead(*first, epochs)
        size = max(1, min(MOST_TOGETHER, STEPS_TOGETHER // steps, len(trained) // (2 * self._threads)))
        parts = deque(trained[k : k + size] for k in range(0, len(trained), size))
        del waiting, first, trained
        yield from self._side_by_side(parts, epochs)

    def _of(self, run: Run, like: CompiledRun | None = None) -> CompiledRun:
        """A run with its epochs, whose compiled steps may be those of another run."""
        step = TrainingStep(run.member.net, run.stepper, run.scorer, 1, (), run.gathering, together=True)
        run.validate.compile(None if like is None else like[0].validate)
        return run, CompiledEpoch(step, self._interruption.check, None if like is None else like[1])

    def _side_by_side(self, parts: deque[list[CompiledRun]], epochs: int) -> OutcomeStream:
        """Train the runs of each part in one thread at a time, parts that have begun before others."""
        pool = ThreadPoolExecutor(self._threads)
        training: dict[Future[Outcomes], list[CompiledRun]] = {}
        try:
            while parts or training:
                while parts and len(training) <= self._threads:  # one waits
                    if part := parts.popleft():
                        training[pool.submit(self._train, part, epochs)] = part
                done, _ = wait(training, return_when=FIRST_COMPLETED)
                while done:
                    future = done.pop()
                    yield future.result()
                    part = _unfinished(training.pop(future), epochs)
                    parts.appendleft(part)
                    del future
        finally:
            if training:
                self._interruption.request()
            pool.shutdown(cancel_futures=True)

    def _train(self, part: Sequence[Trained], epochs: int) -> Outcomes:
        """Train some runs for an epoch or several; the first epoch prepares them."""
        prepared = all(train.step.ready for _, train in part)
        return make_epochs(part, epochs, ALONE if prepared else self._preparing, self._interruption.check)


def _unfinished(part: Iterable[CompiledRun], epochs: int) -> list[CompiledRun]:
    """The runs that are trained further."""
    return [each for each in part if not each[0].member.ended and each[0].epoch < epochs]
