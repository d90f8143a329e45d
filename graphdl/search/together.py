"""Members of one structure side by side: one call of C++ makes the steps of many of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import chain, count, islice
from typing import Any, TypeAlias, TypeVar

import torch

from graphdl.cpp import Compiled, run_all
from graphdl.execution.compiled import Calls, completed
from graphdl.search.epochs import Outcomes, epochs_ahead, make_epochs
from graphdl.search.run import Run
from graphdl.search.ways import OneByOne, OutcomeStream, Way, compiled_copy
from graphdl.training.epochs import CompiledEpoch
from graphdl.training.evaluation import Validation
from graphdl.training.step import TrainingStep

T = TypeVar("T")
CompiledRun: TypeAlias = tuple[Run, CompiledEpoch]
Part: TypeAlias = list[CompiledRun]

MOST_TOGETHER, STEPS_TOGETHER = 32, 2048
"""How many members a call trains at most, and about how many steps it makes."""


class Together:
    """Members with the same compiled step, which works on the tensors and numbers of each.

    threads  how many run C++; None takes all cores
    """

    name = "compiled"

    def __init__(self, threads: int | None) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._like: CompiledEpoch | None = None

    def prepare(self, run: Run) -> Way:
        """Compile the step; all members use that of the copy on which it is tried."""
        self._like = compiled_copy(run)
        return self if self._like is None or self._like.compiled else OneByOne(False, self._threads)

    def __call__(self, runs: Iterable[Run], epochs: int) -> OutcomeStream:
        """Train the runs up to so many epochs; those of a call are yielded together."""
        waiting = iter(runs)
        for run in waiting:
            first = self._of(run, None, self._like)
            yield self._alone(first, epochs)
            if run.member.state != "failed":
                break
        steps = len(first[0].batches) * epochs_ahead(*first, epochs)
        size = max(1, min(MOST_TOGETHER, STEPS_TOGETHER // steps))
        like = first[0].validate, first[1]
        others = chain(_unfinished([first], epochs), (self._of(run, *like) for run in waiting))  # they use its step
        self._like = None
        del run, first
        yield from self._side_by_side(others, size, epochs)

    def _of(self, run: Run, validate: Validation | None = None, like: CompiledEpoch | None = None) -> CompiledRun:
        """A run with its epochs; compiled passes and steps may be those of another run, of which these are given."""
        step = TrainingStep(run.member.net, run.stepper, run.scorer, 1, (), run.gathering, together=True)
        run.validate.compile(validate)
        return run, CompiledEpoch(step, None, like)

    @torch.inference_mode()
    def _alone(self, run: CompiledRun, epochs: int) -> Outcomes:
        """Train one run before others."""
        return completed(make_epochs([run], epochs))

    def _side_by_side(self, runs: Iterable[CompiledRun], size: int, epochs: int) -> OutcomeStream:
        """Train runs in parts of this size at most, parts that have begun before others. The first ones are small.

        Python runs in this thread, and the others run C++, with the calls that it leaves to torch: each call of torch
        releases the GIL, and threads that make many short ones spend most of their time on passing it to each other.
        More parts than there are threads are prepared, so that no thread waits for this one.
        """
        workers = InPlace() if self._threads == 1 else ThreadPoolExecutor(self._threads)
        most = 1 if self._threads == 1 else self._threads + 2  # those that wait
        parts = (list(islice(runs, min(size, 1 + k // self._threads))) for k in count())
        turns: deque[tuple[Part, Calls[Outcomes]]] = deque()
        running: dict[Future[None], tuple[Part, Calls[Outcomes]]] = {}
        try:
            while True:
                while len(running) < most and (turns or (part := next(parts))):
                    if not turns:
                        turns.append((part, make_epochs(part, epochs)))
                    part, calls = turns[0]
                    try:
                        with torch.inference_mode():
                            prepared = next(calls)
                    except StopIteration as end:
                        turns.popleft()
                        yield end.value
                        if part := _unfinished(part, epochs):
                            turns.appendleft((part, make_epochs(part, epochs)))
                        continue
                    future = workers.submit(_run, prepared)
                    running[future] = turns.popleft()
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    turns.appendleft(running.pop(future))
        finally:
            workers.shutdown(cancel_futures=True)
            with torch.inference_mode():
                for _, calls in (*turns, *running.values()):
                    calls.close()


class InPlace(Executor):
    """Runs everything in this thread, when it is given."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function."""
        future: Future[T] = Future()
        future.set_result(function(*args, **kwargs))
        return future


@torch.inference_mode()
def _run(prepared: Sequence[Compiled]) -> None:
    """Make steps; those that C++ leaves to torch, without autograd."""
    run_all(prepared)


def _unfinished(part: Iterable[CompiledRun], epochs: int) -> Part:
    """The runs that are trained further."""
    return [each for each in part if not each[0].member.ended and each[0].epoch < epochs]
