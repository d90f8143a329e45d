"""Writes the checkpoints of a training run, and continues it from them."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from graphdl.errors import FileFormatError, GraphDLWarning, SettingError, level_outside
from graphdl.training.batching import Batch
from graphdl.training.callbacks import Monitoring
from graphdl.training.means import Means
from graphdl.training.runs.checkpoint import Checkpoint
from graphdl.training.runs.due import Count, Timer
from graphdl.training.runs.folder import Manifest, RunFolder
from graphdl.training.runs.signals import Signals
from graphdl.training.runs.state import Parts
from graphdl.training.runs.stored import digest_of_tensors

LONGEST = 1.0
"""The seconds after which a signal is looked for, where several epochs are made at once."""


class Keeper:
    """A training run and its folder.

    A checkpoint is written at the end of an epoch or between two steps. To continue in the middle of an epoch, the
    generators get the states of its start, so that the batches come in the same order; those that were trained on are
    passed over, and the last of them must be the same as before.
    """

    def __init__(
        self, how: Checkpoint, folder: RunFolder, parts: Parts, manifest: Manifest, monitor: Monitoring | None
    ) -> None:
        self._how, self._folder, self._parts, self._manifest = how, folder, parts, manifest
        self._monitor, self._signals = monitor, Signals()
        self._state: dict[str, Any] | None = self._read() if manifest.checkpoints else None
        self._begun: Mapping[str, Any] | None = None
        self._start: dict[str, Any] = {}
        self._steps, self._epochs, self._timer = Count(how.steps), Count(how.epochs), Timer(how.pause)
        self._made = 0
        self._best = math.inf
        if manifest.best is not None and monitor is not None:
            self._best = -manifest.best["value"] if monitor.maximise else manifest.best["value"]
        self._network: tuple[dict[str, Any], dict[str, Any]] | None = None
        self._looked, self._each = time.monotonic(), math.inf
        if self._state is not None:
            parts.history.restore(self._state["history"], self._state["seconds"])  # before callbacks see it

    @property
    def signals(self) -> Signals:
        """The context in which training takes place."""
        return self._signals

    def _read(self) -> dict[str, Any]:
        """The state of the last checkpoint that is not damaged."""
        entries = self._manifest.checkpoints
        while True:
            try:
                return self._folder.read_checkpoint(entries[-1])
            except FileFormatError as error:
                if len(entries) == 1:
                    raise
                entries.pop()
                text = f"{error} Training continues from the checkpoint before it."
                warnings.warn(text, GraphDLWarning, stacklevel=level_outside())

    def restore(self) -> bool:
        """Continue from the last checkpoint, if there is one; return whether a callback had ended training."""
        state = self._state
        if state is None:
            return False
        self._parts.restore(state)
        self._steps.made, self._epochs.made, self._state = state["batches"], self._parts.history.epochs, None
        if state["begun"] is not None:
            self._begun = state["begun"]
            self._parts.set_generators(self._begun["start"])
        return bool(state["ended"])

    @property
    def begun(self) -> bool:
        """Whether training continues in the middle of an epoch."""
        return self._begun is not None

    def most(self, most: int) -> int:
        """How many epochs may be made at once."""
        if self.begun or self._monitor is not None or self._how.steps is not None:
            return 1
        most = min(most, self._epochs.left)
        return max(1, min(most, int(LONGEST / self._each) if self._each else most))

    def begin(self, means: Means) -> int:
        """Begin or continue an epoch; return how many of its batches were trained on before."""
        if self._begun is None:
            self._made, self._start = 0, self._parts.generators(in_step=False)
        else:
            self._made, self._start = self._begun["batch"], dict(self._begun["start"])
            means.load_state_dict(self._begun["means"])
        return self._made

    def passed_over(self, batch: Batch | None) -> None:
        """Go on after the last batch that was trained on before. Raises SettingError if it is another one."""
        begun, self._begun = self._begun, None
        assert begun is not None, "an epoch is continued"
        if batch is None or digest_of_tensors(batch) != begun["last"]:
            found = "there are fewer batches now" if batch is None else f"batch {begun['batch']} is another one now"
            raise SettingError(
                f"checkpoint: training stopped in the middle of an epoch, and {found}. To be continued there, inputs "
                "must give the same batches in the same order in every run: from torch's, NumPy's or Python's global "
                "generator, or without any."
            )
        step = self._parts.step
        self._parts.set_generators(begun["generators"])
        if begun["pending"]:
            if not step.ready:
                step.prepare(batch)
            step.moves.continue_from(begun["pending"], begun["total"])

    def rest(self, batches: Iterable[Batch], means: Means, read: Callable[[], None]) -> Iterator[Batch]:
        """The batches of an epoch that are to be trained on; a checkpoint may be written after each.

        read  brings what is not read yet from the device into `means`
        """
        iterator, batch = iter(batches), None
        over = self.begin(means)
        for _ in range(over):
            batch = next(iterator, None)
        if over:
            self.passed_over(batch)
        for batch in iterator:
            yield batch
            if self.count(1):
                read()
                self.write_within(means, batch)

    @property
    def room(self) -> int:
        """How many steps may be made before `count` is called."""
        return self._steps.left

    def count(self, steps: int) -> bool:
        """Count steps that were made; return whether a checkpoint is due."""
        self._made += steps
        return self._steps.reach(self._steps.made + steps) or self._is_time()

    def _is_time(self) -> bool:
        """Whether a signal was received, or enough time has passed."""
        return self._signals.noted is not None or self._timer.due

    def write_within(self, means: Means, batch: Batch) -> None:
        """Write a checkpoint between two steps of an epoch, after this batch."""
        pending, total = self._parts.step.moves.accumulated
        self._write({
            "batch": self._made, "means": means.state_dict(), "start": self._start, "last": digest_of_tensors(batch),
            "generators": self._parts.generators(), "pending": pending, "total": total,
        })  # fmt: skip

    def epoch_end(self, epochs: int, ended: bool) -> None:
        """After the callbacks: look at the figures, and write a checkpoint if it is due or training ends.

        epochs  how many are to be made in all
        """
        history, now = self._parts.history, time.monotonic()
        self._each, self._looked = (now - self._looked) / max(1, history.epochs - self._epochs.made), now
        if self._monitor is not None:
            figure = self._monitor.figure(history)
            if figure < self._best:
                value = history[self._monitor.monitor][-1]
                entry = {"epoch": history.epochs, "monitor": self._monitor.monitor, "value": value}
                state = {"network": self._parts.net.state_dict(), "frozen": self._parts.frozen}
                self._best, self._network = figure, (entry, state)
        if self._epochs.reach(history.epochs) or ended or history.epochs >= epochs or self._is_time():
            self._write(None, ended)

    def _write(self, begun: Mapping[str, Any] | None, ended: bool = False) -> None:
        """Write a checkpoint; a signal that was received takes effect afterwards."""
        before, manifest, epoch = time.monotonic(), self._manifest, self._parts.history.epochs
        if self._network is not None:
            best, state = self._network
            stored = self._folder.write_checkpoint(f"best-{best['epoch']:04}", state)
            manifest.best, self._network = {**stored, **best}, None
        whole = {**self._parts.state(), "batches": self._steps.made, "begun": begun, "ended": ended}
        place = {"epoch": epoch, "batch": begun["batch"] if begun else 0}
        name = f"epoch-{epoch:04}" + (f"+{place['batch']:05}" if begun else "")
        entry = {**self._folder.write_checkpoint(name, whole), **place, "steps": self._parts.stepper.steps}
        others = [each for each in manifest.checkpoints if (each["epoch"], each["batch"]) != tuple(place.values())]
        manifest.checkpoints = [*others, entry][-self._how.keep :]
        manifest.ended = ended
        self._folder.write(manifest)
        self._timer.written(before)
        self._signals.answer()
