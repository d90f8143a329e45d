"""The training of all members: group by group, in ways that fit them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from graphdl.errors import GraphDLError, NonFiniteError
from graphdl.search.groups import grouped
from graphdl.search.member import Member, Recipe
from graphdl.search.progress import SweepProgress
from graphdl.search.run import Run
from graphdl.search.shared import SharedData
from graphdl.search.ways import Outcome, Outcomes, Way
from graphdl.training.threads import threads_restored


class Training:
    """Trains members.

    choose       the way for a group
    interrupted  whether Ctrl-C ended it
    """

    def __init__(
        self,
        members: Sequence[Member],
        recipe: Recipe,
        data: SharedData,
        validation: SharedData | None,
        choose: Callable[[Sequence[Member]], Way],
    ) -> None:
        self._members, self._recipe = members, recipe
        self._data, self._validation = data, validation
        self._choose = choose
        self._runs: dict[int, Run] = {}
        self.interrupted = False

    def __call__(self, progress: SweepProgress) -> None:
        """Train all members. Ctrl-C ends it; members in training get their last good parameters."""
        try:
            with threads_restored(), progress:
                self._round(self._recipe.epochs, progress)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self._leave()

    def _round(self, epochs: int, progress: SweepProgress) -> None:
        """Train the members that go on up to so many epochs."""
        going = [member for member in self._members if not member.ended]
        for group in grouped(going, self._recipe, self._data):
            way = self._choose(group)
            runs = [self._run(member) for member in group]
            for run in runs:
                run.member.way = way.name
                run.begin()
            for outcomes, seconds in timed(way(runs, epochs)):
                for run, outcome in outcomes:
                    self._record(run, outcome, seconds / len(outcomes))
                    left = self._recipe.epochs - run.epoch if run.member.ended else 0
                    progress.advance(run.member, 1, left)
            for run in runs:
                if run.member.ended:
                    del self._runs[run.member.number]

    def _run(self, member: Member) -> Run:
        if member.number not in self._runs:
            self._runs[member.number] = Run(member, self._recipe, self._data, self._validation)
        return self._runs[member.number]

    @staticmethod
    def _record(run: Run, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, GraphDLError):
            run.fail(outcome)
        else:
            run.record(outcome, seconds)

    def _leave(self) -> None:
        """End the runs that are not finished."""
        for run in self._runs.values():
            if not run.member.ended:
                run.restore()
                run.end("interrupted")
        self._runs.clear()


def timed(outcomes: Iterator[Outcomes]) -> Iterator[tuple[Outcomes, float]]:
    """Each item with the seconds that it took."""
    while True:
        start = time.perf_counter()
        item = next(outcomes, None)
        if item is None:
            return
        yield item, time.perf_counter() - start


def raise_if_none_was_trained(members: Sequence[Member], errors: Sequence[GraphDLError]) -> None:
    """Raise the first error if all members failed, and not because a loss was not finite."""
    if len(errors) == len(members) and not isinstance(errors[0], NonFiniteError):
        raise errors[0]
