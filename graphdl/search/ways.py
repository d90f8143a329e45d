"""The ways in which the members of a group are trained.

A way is called with runs and a number of epochs up to which they are to be trained. It yields lists of (run, figures of
an epoch), or (run, error) where a step failed; those in a list were made together. The caller passes them to
`run.record` or `run.fail` before it requests the next list; a run that has ended is not trained further.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from graphdl.errors import GraphDLError, SettingError
from graphdl.search.run import Run
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.step import TrainingStep

Outcome: TypeAlias = Mapping[str, float] | GraphDLError
Outcomes: TypeAlias = list[tuple[Run, Outcome]]


class Way(Protocol):
    """A way of training.

    name  what the table of results calls it
    """

    name: str

    def __call__(self, runs: Sequence[Run], epochs: int) -> Iterator[Outcomes]:
        """Train the runs up to so many epochs, in any order."""


class OneByOne:
    """One member after another, as fit trains it: by the operators, or by compiled steps of each network."""

    def __init__(self, compiled: bool) -> None:
        self._compiled = compiled
        self.name = "compiled, one by one" if compiled else "operators"

    def __call__(self, runs: Sequence[Run], epochs: int) -> Iterator[Outcomes]:
        """Train each run up to so many epochs."""
        for run in runs:
            net, recipe, calls = run.member.net, run.recipe, run.callbacks
            together = self._compiled
            step = TrainingStep(net, run.stepper, run.scorer, recipe.threads, (), run.gathering, together=together)
            train = (CompiledEpoch if together else SteppedEpoch)(step, calls.step_end if calls.wants_steps else None)
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
