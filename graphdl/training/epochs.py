"""An epoch of training, step by step or by compiled steps. Both give the same results up to rounding."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from graphdl.bundles import Bundle
from graphdl.data import Batches
from graphdl.errors import CompileError, GraphDLWarning, level_outside
from graphdl.execution.chance import Outlines
from graphdl.execution.compiled import Calls, CompiledPasses, NoGainError, completed
from graphdl.execution.placed import PlacedStep
from graphdl.training.batching import Batch, bundles_of
from graphdl.training.guard import DeviceGuard, steps_into
from graphdl.training.means import EpochMeans, Means
from graphdl.training.step import TrainingStep
from graphdl.training.threads import choose_threads
from graphdl.training.watch import Watch

StepEnd = Callable[[], bool]

STEPS_AHEAD, ROWS_AHEAD = 1024, 2**20
"""About how many steps are made before losses are looked at, where nothing is to be done at the end of an epoch, and
the most rows that they have: their indices are held."""


class SteppedEpoch:
    """Makes a step on one batch after another.

    step_end  called after every step; True ends the epoch
    watch     looks at the epoch after every step
    """

    watch: Watch | None = None

    def __init__(self, step: TrainingStep, step_end: StepEnd | None = None) -> None:
        self.step, self._step_end = step, step_end

    def most_ahead(self, batches: Iterable[Batch]) -> int:
        """How many epochs may be made at once."""
        return 1

    def several(self, batches: Iterable[Batch], most: int) -> list[dict[str, float]]:
        """Make some epochs, `most` at most; return the means of each."""
        return [self(batches)]

    @torch.inference_mode()
    def __call__(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Train on the batches; return the mean losses and metrics, {} if there was no batch."""
        means = Means(self.step.scorer)
        with steps_into(means, self.step, at_once=self._step_end is not None) as step:
            if self.watch is not None:
                read = step.read if isinstance(step, DeviceGuard) else _nothing
                batches = self.watch.rest(batches, means, read)
            for batch in batches:
                step(batch)
                if self._step_end is not None and self._step_end():
                    break
        return means.figures()

    def state_dict(self) -> dict[str, Any]:
        """What the rounding of later steps depends on beside the network: nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make later steps as where `state_dict` was called."""


def _nothing() -> None:
    """Losses have been read."""


class CompiledEpoch:
    """Makes the steps on many batches by one call of C++.

    Batches of another shape than the first one are trained by the operators. So is a step whose loss is not finite or
    whose class indices are out of range: the operators raise the error. If the step cannot be compiled, all steps are
    made by the operators, and one GraphDLWarning gives the reason. For large steps the operators are used without a
    warning, because they use several threads, or because compiling gains nothing.

    step_end  called after every block of compiled steps and after every other step; True ends the epoch
    like      the epochs of a network of the same structure, which has the same compiled step
    watch     looks at the epoch after every block of steps
    """

    watch: Watch | None = None

    def __init__(self, step: TrainingStep, step_end: StepEnd | None = None, like: CompiledEpoch | None = None) -> None:
        self.step, self._step_end, self._like = step, step_end, like
        self._steps: CompiledPasses | None = None
        self._others = 0
        self._given_up = self._warned = False
        self._check_again = False
        self._layout: list[Any] | None = None

    def __call__(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Train on the batches; return the mean losses and metrics, {} if there was no batch."""
        with torch.inference_mode():
            return completed(self.calls(batches))

    @property
    def compiled(self) -> bool:
        """Whether steps were compiled."""
        return self._steps is not None and not self._given_up

    def most_ahead(self, batches: Iterable[Batch]) -> int:
        """How many epochs may be made at once, with the same results as one after another.

        There is more than one only if all batches are alike, and the order of an epoch is not drawn from the generator
        from which operators have drawn in the one before.
        """
        step, engine = self.step, self.step.net.engine
        compiled = self.compiled and step.ready
        if not compiled and (self._steps is not None or self._given_up or self._to_follow() is None):
            return 1
        if not isinstance(batches, Batches) or not batches.uniform or not step.uniform:
            return 1
        drawing = engine.plan(step.scorer.targets).drawing
        if drawing and batches.shuffle and batches.generator is engine.chance:
            return 1
        return max(1, min(STEPS_AHEAD // len(batches), ROWS_AHEAD // batches.rows))

    def several(self, batches: Iterable[Batch], most: int) -> list[dict[str, float]]:
        """Make some epochs at once, `most` at most; return the means of each."""
        epochs = min(most, self.most_ahead(batches))
        if epochs == 1 or not isinstance(batches, Batches):
            return [self(batches)]
        with torch.inference_mode():
            return completed(self.ahead(batches, epochs))

    def calls(self, batches: Iterable[Batch]) -> Calls[dict[str, float]]:
        """The same, but C++ is run by the caller."""
        means, bundles = Means(self.step.scorer), bundles_of(batches)
        if self.watch is not None:
            bundles = self._rest(bundles, means, self.watch)
        yield from self._all(bundles, means, self.watch)
        return means.figures()

    def ahead(self, batches: Batches, epochs: int) -> Calls[list[dict[str, float]]]:
        """Several epochs at once, for batches with the same number of rows; C++ is run by the caller."""
        means = EpochMeans(self.step.scorer, epochs, len(batches))
        bundle = batches.ahead(epochs)
        try:
            yield from self._all([bundle], means)
        except BaseException:  # also if Ctrl-C ends it
            batches.keep(means.begun)
            raise
        return means.figures()

    def _all(self, bundles: Iterable[Bundle], means: Means | EpochMeans, watch: Watch | None = None) -> Calls[None]:
        """Make the steps on all batches."""
        self._others = 0
        self._check_again = True  # whether custom operators and optimizers still do the same
        for bundle in bundles:
            made = 0
            while made < len(bundle):
                stop = len(bundle) if watch is None else min(len(bundle), made + watch.room)
                done = yield from self._steps_on(bundle.part(made, stop), means)
                made += done
                if self._step_end is not None and self._step_end():
                    return
                if watch is not None and watch.count(done):
                    assert isinstance(means, Means), "epochs that are watched are made one at a time"
                    watch.write_within(means, bundle.batch(made - 1))

    def _rest(self, bundles: Iterable[Bundle], means: Means, watch: Watch) -> Iterator[Bundle]:
        """The bundles that are left of an epoch; steps are compiled for its first batches, even if these are not."""
        over = watch.begin(means)
        for bundle in bundles:
            made = min(over, len(bundle))
            if made:
                over -= made
                self._try(bundle)
                if not over:
                    watch.passed_over(bundle.batch(made - 1))
            if made < len(bundle):
                yield bundle.part(made, len(bundle))
        if over:
            watch.passed_over(None)

    def _try(self, bundle: Bundle) -> CompiledPasses | None:
        """The compiled steps for such batches; None if the operators make the steps."""
        try:
            return None if self._given_up else self._ready(bundle)
        except NoGainError:
            self._leave_to_operators()
        except CompileError as error:
            self._give_up(str(error))
        return None

    def state_dict(self) -> dict[str, Any]:
        """What the rounding of later steps depends on: for which batches steps are compiled, and whether they are."""
        layout = self._layout if self._steps is None else _text(self._steps.shapes)
        return {"layout": layout, "given_up": self._given_up, "apart": not self.step.together}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make later steps as where `state_dict` was called."""
        self._layout, self._given_up = state["layout"], state["given_up"]
        if state["apart"]:
            self.step.move_apart()

    def _steps_on(self, bundle: Bundle, means: Means | EpochMeans) -> Calls[int]:
        """Make steps on some batches of a bundle; return how many."""
        try:
            steps = None if self._given_up else self._ready(bundle)
            done, found = (0, []) if steps is None else (yield from steps.call(bundle))
            if done:
                self.step.scorer.add_to(means, bundle.part(0, done), found)
                return done
        except NoGainError:
            self._leave_to_operators()
        except CompileError as error:
            self._give_up(str(error))
        means.add(self.step(bundle.batch(0)))
        return 1

    def _ready(self, bundle: Bundle) -> CompiledPasses | None:
        """The compiled steps for such batches; None if the operators make the steps."""
        step = self.step
        if self._steps is None and self._layout not in (None, _text(bundle.layout())):
            return None  # steps are compiled for other batches
        if self._steps is None or self._steps.version != step.net.engine.version:
            first, last = bundle.batch(0), bundle.batch(min(1, len(bundle) - 1))
            like = self._to_follow()
            if not step.ready:
                step.prepare(first, all_reached=like is not None)
            if self._shared_out(first):
                self._leave_to_operators()
                return None

            def place(outlines: Outlines | None) -> PlacedStep:
                return PlacedStep(step.net.engine, step.passes, step.moves, first, outlines)

            self._steps = CompiledPasses(step.net.engine, place, [first, last], True, like)
            self._check_again = False
        if self._steps.shapes != bundle.layout():
            self._others += 1
            if self._others > 1:
                self._warn("batches of other shapes than the first one are not compiled")
            return None
        if self._check_again and step.may_change:
            self._steps.check_again(bundle.batch(0))
        self._check_again = False
        return self._steps

    def _to_follow(self) -> CompiledPasses | None:
        """The compiled steps of the other network, if they are those of this network too."""
        other = self._like
        if other is None or other._steps is None or other.step.may_change:
            return None
        return other._steps if other._steps.may_be_followed(self.step.net.engine) else None

    def _shared_out(self, batch: Batch) -> bool:
        """Whether the operators would use several threads; a compiled step shares out no more than torch's calls."""
        threads = torch.get_num_threads()
        return threads > 1 and choose_threads(self.step.net, batch, threads) > 1

    def _leave_to_operators(self) -> None:
        self._given_up = True
        self.step.move_apart()

    def _give_up(self, reason: str) -> None:
        self._steps, self._given_up = None, True
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            text = f"fit(compile=True) trains step by step: {reason}."
            warnings.warn(text, GraphDLWarning, stacklevel=level_outside())


def _text(layout: Mapping[Any, tuple[tuple[int, ...], torch.dtype]]) -> list[Any]:
    """A layout as plain data."""
    return [[name, list(shape), str(dtype)] for name, (shape, dtype) in layout.items()]
