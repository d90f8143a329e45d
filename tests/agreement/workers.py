"""Checks networks in processes of their own: one that crashes or hangs is reported with its seed, and replaced."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait

from tests.agreement.campaign import Verdict, check, prepare

Task = tuple[int, tuple[str, ...]]

SECONDS = 300
"""After which a network counts as hanging."""


def work(connection: Connection) -> None:
    """Check networks as they are sent."""
    prepare()
    warnings.simplefilter("ignore")
    while True:
        connection.send(check(*connection.recv()))


class Worker:
    """A process that checks one network at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None

    def start(self, task: Task) -> None:
        self.task, self.since = task, time.monotonic()
        self.connection.send(task)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def check_all(tasks: Iterable[Task], jobs: int, make: Callable[[], Worker] = Worker) -> Iterator[list[Verdict]]:
    """The verdicts of each task, as they come."""
    waiting = iter(tasks)
    workers = [make() for _ in range(jobs)]
    try:
        for worker in workers:
            if (task := next(waiting, None)) is not None:
                worker.start(task)
        while busy := [worker for worker in workers if worker.task is not None]:
            ready = wait([worker.connection for worker in busy], timeout=10)
            for k, worker in enumerate(workers):
                if worker.task is None:
                    continue
                if worker.connection in ready:
                    found, broken = _receive(worker)
                elif time.monotonic() - worker.since > SECONDS:
                    found, broken = [_lost(worker, f"hangs for {SECONDS} s")], True
                else:
                    continue
                yield found
                worker.task = None
                if broken:
                    worker.end()
                    workers[k] = worker = make()
                if (task := next(waiting, None)) is not None:
                    worker.start(task)
    finally:
        for worker in workers:
            worker.end()


def _receive(worker: Worker) -> tuple[list[Verdict], bool]:
    try:
        return worker.connection.recv(), False
    except (EOFError, OSError):
        worker.process.join()
        return [_lost(worker, f"the process ended with {worker.process.exitcode}")], True


def _lost(worker: Worker, text: str) -> Verdict:
    assert worker.task is not None
    return Verdict(worker.task[0], "/".join(worker.task[1]), "failed", text)
