"""Members of one structure side by side: each thread makes the steps of many of them by one call of C++."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeAlias

import torch

from graphdl.data import Batches
from graphdl.errors import GraphDLError, SettingError
from graphdl.execution.compiled import Calls, completed_together
from graphdl.search.run import Run
from graphdl.search.ways import OneByOne, Outcome, Outcomes, Way
from graphdl.training.epochs import CompiledEpoch
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

Trained: TypeAlias = tuple[Run, CompiledEpoch]

MOST_TOGETHER = 32
"""How many members a call trains at most."""


class Together:
    """Members with the same compiled step, which works on the tensors and numbers of each.

    threads  how many; None takes all cores
    """

    name = "compiled"

    def __init__(self, threads: int | None) -> None:
        self._threads = threads or os.cpu_count() or 1

    def prepare(self, run: Run) -> Way:
        """Compile the step by training a copy of the network on a batch."""
        net, recipe, named = copy.deepcopy(run.member.net), run.recipe, run.data.named(run.member.net)
        stepper, scorer = run.member.optimizer.bind(net), Scorer(net, recipe.metrics)
        epoch = CompiledEpoch(TrainingStep(net, stepper, scorer, recipe.threads, (), run.gathering, together=True))
        size = min(recipe.batch_size, run.batches.rows)
        epoch(Batches({name: tensor[:size] for name, tensor in named.items()}, size, shuffle=False))
        return self if epoch.compiled else OneByOne(False, self._threads)

    def __call__(self, runs: Sequence[Run], epochs: int) -> Iterator[Outcomes]:
        """Train the runs up to so many epochs; those of a call are yielded together."""
        trained: list[Trained] = []
        for run in runs:
            step = TrainingStep(run.member.net, run.stepper, run.scorer, 1, (), run.gathering, together=True)
            trained.append((run, CompiledEpoch(step, like=trained[0][1] if trained else None)))
            run.begin()
        yield self._train(trained[:1])  # the others use its compiled step
        size = max(1, min(MOST_TOGETHER, len(runs) // (2 * self._threads)))
        parts = deque(trained[k : k + size] for k in range(0, len(trained), size))
        pool = ThreadPoolExecutor(self._threads)
        training: dict[Future[Outcomes], list[Trained]] = {}
        try:
            while parts or training:
                while parts and len(training) <= self._threads:  # one waits
                    part = [
                        (run, epoch) for run, epoch in parts.popleft() if not run.member.ended and run.epoch < epochs
                    ]
                    if part:
                        training[pool.submit(self._train, part)] = part
                done, _ = wait(training, return_when=FIRST_COMPLETED)
                for future in done:
                    parts.append(training.pop(future))
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _train(self, part: Sequence[Trained]) -> Outcomes:
        """Train some runs for an epoch."""
        for run, _ in part:
            run.callbacks.epoch_start()
        with torch.inference_mode():
            found = completed_together([self._epoch(*each) for each in part])
        return [(run, _outcome(each)) for (run, _), each in zip(part, found, strict=True)]

    @staticmethod
    def _epoch(run: Run, epoch: CompiledEpoch) -> Calls[Mapping[str, float]]:
        figures = yield from epoch.calls(run.batches)
        epoch.step.finish()
        return figures | run.validate()


def _outcome(found: Mapping[str, float] | Exception) -> Outcome:
    """What came of an epoch; errors other than those of one member are raised."""
    if isinstance(found, Exception) and (isinstance(found, SettingError) or not isinstance(found, GraphDLError)):
        raise found
    return found
