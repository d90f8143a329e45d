"""The ways in which the members of a group are trained.

A way is called with runs and a number of epochs up to which they are to be trained. It calls `run.begin()` of each and
yields lists of (run, figures of an epoch), or (run, error) where a step failed; those in a list were made together. The
caller passes them to `settle` before it requests the next list; a run that has ended is not trained further.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import torch

from graphdl.errors import GraphDLError, SettingError
from graphdl.search.member import Recipe
from graphdl.search.run import Run
from graphdl.search.state import RunState, resume
from graphdl.training import fit
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.step import TrainingStep

Outcome: TypeAlias = Mapping[str, float] | GraphDLError | RunState
"""The figures of an epoch, the error of a step, or the state after several epochs that were made elsewhere."""

Outcomes: TypeAlias = list[tuple[Run, Outcome]]


class Way(Protocol):
    """A way of training.

    name     what the table of results calls it
    prepare  is called once before training, if it is not None, with one run of the group and maybe in another thread
             while other groups train. It leaves the run as it is, and returns the way to take: itself or another one
    """

    name: str

    def __call__(self, runs: Sequence[Run], epochs: int) -> Iterator[Outcomes]:
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
        """Compile a step, by training a copy of the network on one batch; members find the library."""
        if self._compiled:
            net, recipe, named = copy.deepcopy(run.member.net), run.recipe, run.data.named(run.member.net)
            size = min(recipe.batch_size, run.batches.rows)
            fit(
                net, {name: tensor[:size] for name, tensor in named.items()}, optimizer=run.member.optimizer, epochs=1,
                batch_size=size, metrics=recipe.metrics, shuffle=False, compile=True, clip_norm=recipe.clip_norm,
                clip_value=recipe.clip_value, accumulate=recipe.accumulate, threads=recipe.threads, progress=False,
            )  # fmt: skip
        return self

    def __call__(self, runs: Sequence[Run], epochs: int) -> Iterator[Outcomes]:
        """Train each run up to so many epochs."""
        for run in runs:
            net, calls = run.member.net, run.callbacks
            torch.set_num_threads(self._threads)  # an earlier network may have reduced it
            step = TrainingStep(net, run.stepper, run.scorer, None, (), run.gathering, together=self._compiled)
            kind = CompiledEpoch if self._compiled else SteppedEpoch
            train = kind(step, calls.step_end if calls.wants_steps else None)
            run.begin()
            while not run.member.ended and run.epoch < epochs:
                yield [(run, self._epoch(run, step, train))]

    @staticmethod
    def _epoch(run: Run, step: TrainingStep, train: CompiledEpoch | SteppedEpoch) -> Outcome:
        try:
            run.callbacks.epoch_start()
            figures = train(run.batches)
            step.finish()
            return figures | run.validate()
        except SettingError:
            raise
        except GraphDLError as error:
            return error


def settle(run: Run, outcome: Outcome, seconds: float) -> None:
    """Give a run what came of its training, and how long that took."""
    if isinstance(outcome, RunState):
        resume(run, outcome)
    elif isinstance(outcome, GraphDLError):
        run.fail(outcome)
    else:
        run.record(outcome, seconds)


def timed(outcomes: Iterator[Outcomes]) -> Iterator[tuple[Outcomes, float]]:
    """Each list with the seconds that each of its members took."""
    while True:
        start = time.perf_counter()
        made = next(outcomes, None)
        if made is None:
            return
        yield made, (time.perf_counter() - start) / len(made)


LEAST_STEPS = 10_000
"""The number of steps of a group from which on compiling gains: it takes as long as so many steps of the operators.
This is counted, not timed, so that results do not depend on how busy the machine is."""


def worth_compiling(steps: int, recipe: Recipe, backend: str | None) -> bool:
    """Whether the steps of a group are compiled."""
    return recipe.compile and backend != "operators" and (backend == "compiled" or steps >= LEAST_STEPS)
