"""Members trained in processes by joblib, or on a cluster by one of joblib's backends."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import SettingError, import_optional
from graphdl.search.member import Member, Recipe
from graphdl.search.run import Run
from graphdl.search.shared import SharedData
from graphdl.search.state import RunState, can_continue, resume, state_of
from graphdl.search.ways import OneByOne, OutcomeStream, Way, settle, timed
from graphdl.training.threads import threads_restored


@dataclass(frozen=True)
class Job:
    """A member for another process; tensors of data as arrays, which joblib shares by memory maps."""

    member: Member
    recipe: Recipe
    inputs: Mapping[Any, Any]
    validation: Mapping[Any, Any] | None
    state: RunState | None
    epochs: int


class Processes:
    """Each member in a separate process, by `joblib.Parallel`.

    `with joblib.parallel_config(backend=..., n_jobs=...)` chooses another backend, such as dask or ray.

    threads  the number of processes; None takes that of parallel_config, or all cores
    """

    def __init__(self, threads: int | None, compiled: bool) -> None:
        self._threads, self._compiled = threads, compiled
        self._joblib = import_optional("joblib", 'backend="processes"', "joblib", "sklearn")
        self._shared: dict[int, Any] = {}
        self.name = "processes"

    def prepare(self, run: Run) -> Way:
        """Nothing is to be prepared: the first process that compiles a step leaves its library to the others."""
        return self

    def __call__(self, runs: Iterable[Run], epochs: int) -> OutcomeStream:
        """Train each run up to so many epochs; yield the state in which it ends."""
        numbered = {run.member.number: run for run in runs}
        del runs
        for run in numbered.values():
            if epochs < run.recipe.epochs and not can_continue(run):
                raise SettingError(
                    'halving with backend="processes" needs callbacks with the methods state_dict and load_state_dict.'
                )
        backend, jobs = self._joblib.parallel.get_active_backend()
        if self._threads is not None or jobs in (None, 1):
            jobs = self._threads or os.cpu_count()
        streamed = getattr(backend, "supports_return_generator", False)
        parallel = self._joblib.Parallel(jobs, return_as="generator_unordered" if streamed else "list")
        jobs_of = (self._joblib.delayed(train_job)(self._job(run, epochs)) for run in list(numbered.values()))
        for number, state in parallel(jobs_of):
            yield [(numbered.pop(number), state)]

    def _job(self, run: Run, epochs: int) -> Job:
        recipe = replace(run.recipe, threads=1, compile=self._compiled)
        state = state_of(run) if run.epoch else None
        validation = None if run.validation is None else self._arrays(run.validation.named(run.member.net))
        return Job(run.member, recipe, self._arrays(run.data.named(run.member.net)), validation, state, epochs)

    def _arrays(self, named: Mapping[Any, Tensor]) -> dict[Any, Any]:
        """The same array for the same tensor, so that joblib stores it once."""
        return {name: self._shared.setdefault(id(tensor), tensor.cpu().numpy()) for name, tensor in named.items()}


def train_job(job: Job) -> tuple[int, RunState]:
    """Train a member in this process; return its number and state."""
    validation = None if job.validation is None else SharedData("validation", _tensors(job.validation))
    run = Run(job.member, job.recipe, SharedData("inputs", _tensors(job.inputs)), validation)
    if job.state is not None:
        resume(run, job.state)
    with threads_restored():
        for outcomes, seconds in timed(OneByOne(job.recipe.compile, 1)([run], job.epochs)):
            for one, outcome in outcomes:
                settle(one, outcome, seconds)
    return job.member.number, state_of(run)


def _tensors(named: Mapping[Any, Any]) -> dict[Any, Tensor]:
    """Tensors over the arrays, also where these are memory maps that cannot be written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return {name: torch.from_numpy(array) for name, array in named.items()}
