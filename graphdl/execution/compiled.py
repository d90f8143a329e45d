"""Passes and training steps in C++, bound to the tensors of a network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor

from graphdl.bundles import Bundle
from graphdl.cpp import Compiled, Roles, compile_tape, form_of, run_all
from graphdl.errors import CompileError
from graphdl.execution.agreement import ROUNDING, disagreement, widened
from graphdl.execution.chance import Outlines
from graphdl.execution.engine import Engine
from graphdl.execution.placed import Batch, PlacedPass
from graphdl.execution.replay import TorchCalls, compiling_gains
from graphdl.execution.tape import Tape, address
from graphdl.operators.recurrence.compiling import compiling

T = TypeVar("T")
Calls: TypeAlias = Generator[Sequence[Compiled], None, T]
"""Yields what C++ has to run, prepared, before it goes on; and has a result."""

SECONDS = 0.05
"""How long one call of C++ lasts at most, so that an interruption is noticed soon."""

RESULT_BYTES = 2**21
"""How much one call hands out at most."""


class NoGainError(CompileError):
    """A step that is as quick without being compiled."""


class CompiledPasses:
    """Passes of a network, or whole training steps, compiled for batches of one shape; many are made by one call.

    What is placed is recorded twice while the operators make it, and C++ is written from the recording. The first pass
    on a batch is made by the operators too: only if both agree is it used. Raises CompileError otherwise.

    place     gives what is compiled, on tensors in fixed places, again when the network has changed
    examples  one batch or two, on which it is recorded
    gaining   refuses what gains nothing by being compiled, by NoGainError
    like      the same of a network of the same structure, whose library is used where it fits
    shapes    name -> shape and type of a batch
    """

    _step: PlacedPass
    _tape: Tape
    _roles: Roles
    _compiled: Compiled
    _seconds: float

    def __init__(
        self,
        engine: Engine,
        place: Callable[[Outlines | None], PlacedPass],
        examples: Sequence[Batch],
        gaining: bool = False,
        like: CompiledPasses | None = None,
    ) -> None:
        self._engine, self._place, self._examples, self._gaining = engine, place, examples, gaining
        self._like, self.version = like, -1
        self.shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in examples[0].items()}
        self._make()

    @property
    def source(self) -> str:
        """The C++ text."""
        return self._compiled.source

    @torch.inference_mode(False)
    @torch.no_grad()
    def _make(self) -> None:
        """Record the step, compile it, and make the memory in which it works."""
        engine = self._engine
        if engine.device.type != "cpu":
            raise CompileError(f"the network is on {engine.device}, and compiled steps run on the CPU")
        if engine.dtype not in ROUNDING:
            raise CompileError(f"the network computes in {engine.dtype}, and compiled steps in float32 or float64")
        if any(dtype.is_floating_point and dtype != engine.dtype for _, dtype in self.shapes.values()):
            raise CompileError(f"it is compiled for batches of other numbers than {engine.dtype}, the network's type")
        version = engine.version
        self.__dict__.pop("_places", None)
        like = self._like if self._like is not None and self._like.may_be_followed(engine) else None
        self._verified, self._seconds = False, 0.0 if like is None else like._seconds
        with compiling():
            self._step = self._place(None if like is None else like._step.outlines)
            followed = like is not None and self._follow(like)
            calls = TorchCalls(self._tape) if followed else self._record()
        self._workspace = calls.make_workspace(self._compiled.workspace)
        given = [self._tape.given[storage].data_ptr() for storage in self._compiled.given]
        self._compiled.place(given, self._workspace.data_ptr())
        each = sum(slot.size * slot.dtype.itemsize for slot in self._roles.results)
        self._most = min(max(1, RESULT_BYTES // each), self._step.steps_at_once)
        self._found: list[Tensor] = []
        self._count = 0
        self.version = version  # from here on others may follow, in another thread

    def _record(self) -> TorchCalls:
        """Record the step twice, and compile it; return what makes torch's calls in it."""
        self._tape, self._roles = self._step.record(self._examples[0])
        if not self._step.record(self._examples[-1])[0].same_as(self._tape):
            raise CompileError("an operator or the optimizer makes other calls from step to step")
        if self._gaining and not compiling_gains(self._tape, form_of):
            raise NoGainError("torch's own calls take most of its time")
        calls = TorchCalls(self._tape)
        self._compiled = compile_tape(self._tape, self._roles, calls)
        return calls

    def may_be_followed(self, engine: Engine) -> bool:
        """Whether a network of the same structure is frozen alike, and this one has not changed since."""
        return self.version == self._engine.version and self._engine.frozen == engine.frozen

    def _follow(self, like: CompiledPasses) -> bool:
        """Use the step of another network on this one's tensors; False if that cannot be done.

        The tensors that both have in the same place of their structure take each other's place. Others are constants.
        """
        places, (others, written) = self._step.places(), like._places
        if self.shapes != like.shapes or len(places) != len(others) or like._compiled.calls_torch:
            return False
        own = {other: place.untyped_storage() for place, other in zip(places, others, strict=True)}
        given = {k: own.get(address(storage), storage) for k, storage in like._tape.given.items()}
        for k, storage in like._tape.given.items():
            if given[k].nbytes() != storage.nbytes() or (given[k] is storage and k in written):
                return False
        self._tape, self._roles = replace(like._tape, given=given), like._roles
        self._compiled = like._compiled.unbound()
        return True

    @cached_property
    def _places(self) -> tuple[list[int], set[int]]:
        """What distinguishes the storages on which the step works from others, and those of the tape that it writes."""
        places = [address(place.untyped_storage()) for place in self._step.places()]
        return places, {slot.storage for call in self._tape.calls for slot in call.written()}

    def check_again(self, batch: Batch) -> None:
        """Record the step once more. Raises CompileError if it makes other calls than those that were compiled."""
        with torch.inference_mode(False), torch.no_grad(), compiling():
            if not self._step.record(batch)[0].same_as(self._tape):
                raise CompileError("an operator or the optimizer makes other calls than at first")

    def call(self, bundle: Bundle) -> Calls[tuple[int, list[Tensor]]]:
        """Make some of the steps of a bundle; return how many, and what they hand out.

        None are made if the total loss of the first is not finite, or its class indices are out of range.
        """
        if self.version != self._engine.version:
            self._make()
        part = bundle.part(0, self._size(len(bundle)))
        if not self._verified:
            return self._verify(part)
        try:
            self._begin(part)
            yield [self._compiled]
        finally:  # even if Ctrl-C ends it: what was made counts
            done, found = self._end()
        self._check()
        self._seconds = self._compiled.seconds / max(done, 1)
        return done, found

    def _size(self, left: int) -> int:
        """How many steps the next call makes."""
        if not self._verified:
            return 1
        in_time = max(1, int(SECONDS / self._seconds)) if self._seconds else 8
        return min(left, in_time, self._most)

    def _begin(self, bundle: Bundle) -> None:
        """Prepare a run, which writes into the same memory as the last one of as many passes."""
        self._compiled.forget()  # an interruption before the run finds nothing made
        count, rows = len(bundle), bundle.rows
        if self._count != count:
            self._count, slots = count, self._roles.results
            self._found = [torch.empty((count, *slot.shape), dtype=slot.dtype, device="cpu") for slot in slots]
        moving = [each.contiguous() for each in (*map(bundle.inputs.__getitem__, self.shapes), *self._step.draw(count))]
        self._running = moving, rows  # they live as long as C++ works on them
        addresses = [each.data_ptr() for each in moving], [each.data_ptr() for each in self._found]
        self._compiled.prepare(*addresses, count, None if rows is None else rows.data_ptr())

    def _end(self) -> tuple[int, list[Tensor]]:
        """Count what a run has made; return how many passes, and what they hand out, until the next run."""
        found, done = self._found, self._compiled.made
        self._step.keep(done)
        if done < self._count:
            found = [each[:done] for each in found]
        if self._verified:
            self._step.advance(done)
        return done, found

    def _check(self) -> None:
        """Raise what ended a run and cannot be left to the operators, because parameters have been changed."""
        self._compiled.check()
        if self._compiled.failure is not None and not self._compiled.failure[1]:
            raise self._compiled.failure[0]

    @torch.no_grad()
    def _verify(self, bundle: Bundle) -> tuple[int, list[Tensor]]:
        """Make one step by the operators and in C++; CompileError, and nothing has changed, if they disagree."""
        step, bounds = self._step, ROUNDING[self._engine.dtype]
        parameters = {name: tensor.clone() for name, tensor in self._engine.store.parameters.items()}
        before = step.snapshot()
        with before:
            step.load(bundle.batch(0))
            expected = step.outcome([result.clone() for result in step.make()])
        if not bool(torch.isfinite(expected.values["the loss"])):
            return 0, [torch.empty(0)] * len(self._roles.results)
        try:
            self._begin(bundle)
            self._compiled.run()
            made, found = self._end()
            self._check()
            outcome = step.outcome([each[0] for each in found]) if made else expected
            wrong = disagreement(outcome, expected, parameters, bounds) if made else "what it refuses"
            if made and wrong:
                with step.snapshot():
                    bounds = widened(bounds, [step.moved(before, seed) for seed in range(3)], expected)
                wrong = disagreement(outcome, expected, parameters, bounds)
            if wrong:
                raise CompileError(f"the compiled step disagrees with the operators in {wrong}")
        except BaseException:
            step.keep(0)
            before.restore()
            raise
        self._verified = True
        self._step.advance(made)
        return made, found


def completed(calls: Calls[T]) -> T:
    """Run what is yielded, one after another; return the generator's result."""
    try:
        while True:
            run_all(next(calls))
    except StopIteration as end:
        return cast(T, end.value)
    finally:  # even if Ctrl-C ends it
        calls.close()


def side_by_side(several: Sequence[Calls[T]]) -> Calls[list[T | Exception]]:
    """Generators side by side, which yields at once what all of them yield; their results or errors."""
    found: dict[int, T | Exception] = {}
    waiting = dict(enumerate(several))
    try:
        while waiting:
            prepared: list[Compiled] = []
            for k, calls in list(waiting.items()):
                try:
                    prepared += next(calls)
                    continue
                except StopIteration as end:
                    found[k] = cast(T, end.value)
                except Exception as error:
                    found[k] = error
                del waiting[k]
            if prepared:
                yield prepared
    finally:  # even if Ctrl-C ends it
        for calls in waiting.values():
            calls.close()
    return [found[k] for k in range(len(several))]
