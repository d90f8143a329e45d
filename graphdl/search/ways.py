"""The ways in which the members of a group are trained.

A way is called with runs and a number of epochs up to which they are to be trained. It calls `run.begin()` of each, and
yields lists of (run, figures of epochs), or (run, error) where an epoch failed; those in a list were made together.
The caller passes them to `settle` before it requests the next list. A run that has ended is neither trained further nor
held by the way.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterable
from typing import Protocol, TypeAlias

import torch

from graphdl.data import Batches
from graphdl.execution.compiled import completed
from graphdl.search.epochs import Outcome, Outcomes, make_epochs
from graphdl.search.member import Recipe
from graphdl.search.run import Run
from graphdl.search.state import RunState, resume
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

OutcomeStream: TypeAlias = Generator[Outcomes, None, None]


class Way(Protocol):
    """A way of training.

    name     what the table of results calls it
    prepare  is called once before training, if it is not None, with one run of the group and maybe in another thread
             while other groups train. It leaves the run as it is, and returns the way to take: itself or another one
    """

    name: str

    def __call__(self, runs: Iterable[Run], epochs: int) -> OutcomeStream:
        """Train the runs up to so many epochs, in any order."""

    def prepare(self, run: Run) -> Way:
        """Prepare training."""


class OneByOne:
    """One member after another, as fit trains it: by the operators, or by compiled steps of each network.

    threads  the most that steps may use: small ones use one
    """

    def __init__(self, compiled: bool, threads: int) -> None:
        self._compiled, self._threads = compiled, threads
        self.name = "compiled, one by one" if compiled else "operators"

    def prepare(self, run: Run) -> Way:
        """Compile the step; members find the library."""
        if self._compiled:
            compiled_copy(run)
        return self

    def __call__(self, runs: Iterable[Run], epochs: int) -> OutcomeStream:
        """Train each run up to so many epochs."""
        for run in runs:
            net, calls = run.member.net, run.callbacks
            torch.set_num_threads(self._threads)  # an earlier network may have reduced it
            step = TrainingStep(net, run.stepper, run.scorer, None, (), run.gathering, together=self._compiled)
            kind = CompiledEpoch if self._compiled else SteppedEpoch
            if self._compiled:
                run.validate.compile()
            train = kind(step, calls.step_end if calls.wants_steps else None)
            while not run.member.ended and run.epoch < epochs:
                with torch.inference_mode():
                    made = completed(make_epochs([(run, train)], epochs))
                yield made


def compiled_copy(run: Run) -> CompiledEpoch | None:
    """The training of a copy of a run's network, compiled and tried on its first rows; None if it fails.

    If training fails there, it fails again in the run, where the error belongs.
    """
    net, recipe, rows = copy.deepcopy(run.member.net), run.recipe, run.member.rows
    size = min(recipe.batch_size, run.batches.rows)
    chosen = torch.arange(size) if rows is None else rows[:size]
    try:
        stepper, scorer = run.member.optimizer.bind(net), Scorer(net, recipe.metrics)
        train = CompiledEpoch(TrainingStep(net, stepper, scorer, recipe.threads, (), run.gathering, together=True))
        train(Batches(run.data.named(run.member.net), size, shuffle=False, chosen=chosen))
    except Exception:
        return None
    return train


def settle(run: Run, outcome: Outcome, seconds: float) -> None:
    """Give a run the outcome of its training, and the time that it took."""
    if isinstance(outcome, RunState):
        resume(run, outcome)
    elif isinstance(outcome, Exception):
        run.fail(outcome)
    else:
        run.record(outcome, seconds)


def timed(outcomes: OutcomeStream) -> Generator[tuple[Outcomes, float], None, None]:
    """Each list with the seconds that each of its members took."""
    while True:
        start = time.perf_counter()
        made = next(outcomes, None)
        if made is None:
            return
        yield made, (time.perf_counter() - start) / len(made)


LEAST_STEPS = 4_000
"""The number of steps of a group from which on compiling gains: it takes as long as so many steps of the operators.
This is counted, not timed, so that results do not depend on how busy the machine is."""


def worth_compiling(steps: int, recipe: Recipe, backend: str | None) -> bool:
    """Whether the steps of a group are compiled."""
    return recipe.compile and backend != "operators" and (backend == "compiled" or steps >= LEAST_STEPS)
