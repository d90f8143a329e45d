"""The training of all members: group by group, in ways that fit them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from graphdl.errors import NonFiniteError
from graphdl.search.checkpoint import Checkpoint
from graphdl.search.halving import Halving
from graphdl.search.identity import digest_of
from graphdl.search.interruption import Interruption
from graphdl.search.member import Member, Recipe
from graphdl.search.memory import Budget
from graphdl.search.processes import Processes
from graphdl.search.progress import SweepProgress
from graphdl.search.ranking import Figure
from graphdl.search.run import Run
from graphdl.search.shared import SharedData
from graphdl.search.state import RunState, restore, resume
from graphdl.search.together import Together
from graphdl.search.ways import OneByOne, Way, settle, timed, worth_compiling
from graphdl.training.hooks import Callbacks
from graphdl.training.threads import choose_threads, threads_restored

Backend = Literal["compiled", "operators", "processes"]
Group = Sequence[Member]


@dataclass(frozen=True)
class Options:
    """How members are trained, beside what fit takes: arguments of fit_all."""

    backend: Backend | None = None
    halving: Halving | None = None
    checkpoint: str | Path | None = None
    memory: int | None = None
    by: str | None = None
    maximise: bool | None = None
    progress: bool = True


class Training:
    """Trains members.

    groups       the members by structure
    interrupted  whether Ctrl-C ended it
    """

    def __init__(
        self,
        members: Group,
        groups: Sequence[Group],
        recipe: Recipe,
        options: Options,
        data: SharedData,
        validation: SharedData | None,
        figure: Figure,
    ) -> None:
        self._members, self._groups, self._recipe, self._options = members, groups, recipe, options
        self._figure = figure
        self._data, self._validation = data, validation
        given = [data] if validation is None else [data, validation]
        self._budget = Budget(options.memory, members, recipe, given, options.halving is not None)
        self._progress = SweepProgress(len(members), recipe.epochs, figure, options.progress)
        self._threads = recipe.threads or torch.get_num_threads()
        self._runs: dict[int, Run] = {}
        self._states: dict[int, RunState] = {}
        self._checkpoint: Checkpoint | None = None
        if options.checkpoint is not None:
            # what halving drops depends on all members
            others = repr((options.halving, [member.setting for member in members])) if options.halving else ""
            digest = digest_of(members, data, validation) + others
            self._checkpoint = Checkpoint(options.checkpoint, members, recipe, digest)
        self._interruption, self.interrupted = Interruption(), False

    def __call__(self) -> None:
        """Train all members. Ctrl-C ends it: members in training get the parameters of the end of their history."""
        with self._interruption:
            try:
                with threads_restored(), self._progress:
                    self._load()
                    self._rounds()
            except KeyboardInterrupt:
                self.interrupted = True
            finally:
                for run in self._runs.values():
                    if run.member.state == "training":
                        run.end("interrupted")
                self._runs.clear()
        causes = [member.cause for member in self._members if member.cause is not None]
        if len(causes) == len(self._members) and not any(isinstance(cause, NonFiniteError) for cause in causes):
            raise causes[0]

    def _load(self) -> None:
        """Take what the checkpoint holds."""
        for member in self._members if self._checkpoint is not None else ():
            state = self._checkpoint.load(member)  # type: ignore[union-attr]
            if state is not None:
                restore(member, state)
                self._progress.advance(member, member.history.epochs)
                if not state.ended:
                    self._states[member.number] = state

    def _rounds(self) -> None:
        """Train all members; with halving, some settings are dropped after each round."""
        racing, halving, epochs = self._members, self._options.halving, self._recipe.epochs
        for rung in halving.rungs(epochs) if halving else [epochs]:
            self._round([member for member in racing if not member.ended and member.history.epochs < rung], rung)
            if halving and rung < epochs:
                kept = halving.survivors(racing, rung, self._figure)
                numbers = {member.number for member in kept}
                for member in racing:
                    if member.number not in numbers and not member.ended:
                        run = self._run(member)
                        run.end("dropped")
                        self._leave(run)
                racing = kept

    def _round(self, members: Group, epochs: int) -> None:
        """Train members up to so many epochs."""
        chosen = set(members)
        groups = [[member for member in group if member in chosen] for group in self._groups]
        for way, group in self._prepared([group for group in groups if group]):
            for chunk in self._budget.chunks(group):
                self._train(way, chunk, epochs)

    def _train(self, way: Way, members: Group, epochs: int) -> None:
        for member in members:
            member.way = way.name
        with closing(way(map(self._run, members), epochs)) as training:
            for outcomes, seconds in timed(training):
                for run, outcome in outcomes:
                    before = run.epoch
                    settle(run, outcome, seconds)
                    self._progress.advance(run.member, run.epoch - before)
                    if run.member.ended:
                        self._leave(run)
                if self._checkpoint is not None:
                    self._checkpoint.save_if_due(run for run, _ in outcomes)  # others are being trained
                self._interruption.check()

    def _run(self, member: Member) -> Run:
        """The run of a member, made when it is first trained."""
        number = member.number
        if number not in self._runs:
            run = self._runs[number] = Run(member, self._recipe, self._data, self._validation)
            if number in self._states:
                resume(run, self._states.pop(number))
        return self._runs[number]

    def _leave(self, run: Run) -> None:
        """Store a run that has ended, and free its memory."""
        if self._checkpoint is not None:
            self._checkpoint.save(run)
        del self._runs[run.member.number]
        if run.member.cause is not None and len(self._members) > 1:
            _forget_frames(run.member.cause)

    def _prepared(self, groups: Sequence[Group]) -> Iterator[tuple[Way, Group]]:
        """The groups with their ways: first those that need no compiler, then the others as soon as they are prepared.

        Compilers run in the background from the start, for groups with few nodes first.
        """
        compiled: list[Group] = []
        others: list[Group] = []
        for group in groups:
            (compiled if self._compiles(group) else others).append(group)
        # torch's number of threads is one for the process: if networks differ in it, compilers do not run beside others
        beside = len(groups) > 1 and not any(self._is_large(group[0]) for group in groups)
        quickest = sorted(compiled, key=lambda group: len(group[0].net.order))
        pool = ThreadPoolExecutor(self._recipe.threads or os.cpu_count())
        try:
            waiting = {}
            for group in quickest if beside else ():
                waiting[pool.submit(self._choose(True).prepare, self._run(group[0]))] = group
            yield from ((self._choose(False), group) for group in others)
            for prepared in as_completed(waiting):
                yield prepared.result(), waiting[prepared]
            for group in compiled if not beside else ():
                torch.set_num_threads(self._threads)  # an earlier network may have reduced it
                yield self._choose(True).prepare(self._run(group[0])), group
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _is_large(self, member: Member) -> bool:
        """Whether steps of a network use several threads."""
        batch = {name: rows[: self._recipe.batch_size] for name, rows in self._data.named(member.net).items()}
        return choose_threads(member.net, batch, 2) > 1

    def _compiles(self, group: Group) -> bool:
        """Whether the steps of a group are compiled before it is trained in this process."""
        steps = sum(self._recipe.steps(self._data.rows(member.net, member.rows)) for member in group)
        backend = self._options.backend
        return backend != "processes" and worth_compiling(steps, self._recipe, backend)

    def _choose(self, compiled: bool) -> Way:
        """The way in which a group is trained."""
        if self._options.backend == "processes":
            return Processes(self._recipe.threads, self._recipe.compile)
        wants_steps = Callbacks(self._recipe.callbacks).wants_steps
        if compiled and not wants_steps:
            return Together(self._recipe.threads)
        return OneByOne(compiled, self._threads)


def _forget_frames(error: BaseException | None) -> None:
    """Replace the traceback of an error by its text: its frames would hold the runs that were trained together."""
    while error is not None:
        error.add_note("".join(traceback.format_tb(error.__traceback__)).rstrip())
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
