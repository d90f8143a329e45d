"""The epochs of several runs, side by side: one call of C++ makes the steps of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch

from graphdl.execution.compiled import Calls, side_by_side
from graphdl.search.run import Run
from graphdl.search.state import RunState
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch

Figures: TypeAlias = Mapping[str, float]

Outcome: TypeAlias = Sequence[Figures] | Exception | RunState
"""The figures of epochs, the error that ended one, or the state after several epochs that were made elsewhere."""

Outcomes: TypeAlias = list[tuple[Run, Outcome]]
Trained: TypeAlias = tuple[Run, CompiledEpoch | SteppedEpoch]


def make_epochs(several: Sequence[Trained], epochs: int) -> Calls[Outcomes]:
    """Make an epoch of each run, or several where nothing looks at them in between, until it has made so many in all.

    C++ is run by the caller, for all runs at once.
    """
    found = yield from side_by_side([_epochs(run, train, epochs) for run, train in several])
    for run, train in several:
        if isinstance(train, CompiledEpoch) and not train.compiled:
            run.member.way = "operators"
    return [(run, outcome) for (run, _), outcome in zip(several, found, strict=True)]


def epochs_ahead(run: Run, train: CompiledEpoch | SteppedEpoch, epochs: int) -> int:
    """How many epochs are made at once, if the run is to make so many in all."""
    custom = [metric for metric in run.recipe.metrics if not isinstance(metric, str)]  # they may count their calls
    looking = any((run.careful, custom, run.callbacks.given, run.validate.names, run.member.penalties))
    return 1 if looking else max(1, min(epochs - run.epoch, train.most_ahead(run.batches)))


def _epochs(run: Run, train: CompiledEpoch | SteppedEpoch, epochs: int) -> Calls[Sequence[Figures]]:
    """Some epochs of a run. C++ is run by the caller.

    If one of several fails, they are made once more, one at a time, so that the run ends at the right epoch.
    """
    count = epochs_ahead(run, train, epochs)
    with torch.inference_mode(False):
        run.begin()
    if count > 1 and isinstance(train, CompiledEpoch):
        before = run.mark()
        try:
            made = yield from train.ahead(run.batches, count)
            if not run.flaw(made):
                return made
        except Exception:  # it is raised again below, by the epoch to which it belongs
            pass
        run.go_back(before)
    return [(yield from _epoch(run, train))]


def _epoch(run: Run, train: CompiledEpoch | SteppedEpoch) -> Calls[Figures]:
    """An epoch of a run, with all that is done at its start and end."""
    with torch.inference_mode(False):
        run.callbacks.epoch_start()
    if isinstance(train, CompiledEpoch):
        figures = yield from train.calls(run.batches)
    else:
        figures = train(run.batches)
    train.step.finish()
    terms = run.terms()
    validated = yield from run.validate.calls()
    return figures | terms | validated
