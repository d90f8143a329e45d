"""A compiled training step, bound to the tensors of a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch import Tensor

from graphdl.blocks import Block
from graphdl.cpp import Compiled, Roles, compile_tape, form_of, run_all
from graphdl.errors import CompileError, MissingInputError, NonFiniteError, ShapeError, UnknownNodeError, did_you_mean
from graphdl.execution.agreement import ROUNDING, disagreement, widened
from graphdl.execution.chance import Outlines
from graphdl.execution.engine import Engine
from graphdl.execution.placed import Batch, PlacedPass, PlacedStep
from graphdl.execution.replay import TorchCalls, compiling_gains
from graphdl.execution.tape import Tape, address
from graphdl.execution.training_passes import TrainingPasses
from graphdl.graph import Key

T = TypeVar("T")
Calls: TypeAlias = Generator[Compiled, None, T]
"""Yields what C++ has to run, prepared, before it goes on; and has a result."""

SECONDS = 0.05
"""How long one call of C++ lasts at most, so that an interruption is noticed soon."""

RESULT_BYTES = 2**21
"""How much one call hands out at most."""


class NoGainError(CompileError):
    """A step that is as quick without being compiled."""


class CompiledSteps:
    """Training steps of a network, compiled for batches of one shape; many are made by one call.

        steps = net.compile(Adam(lr=1e-3), {"x": x[:50], "target": y[:50]})
        losses = steps({"x": x.view(-1, 50, 2), "target": y.view(-1, 50, 2)})

    inputs {name: (K, n, ...)} -> losses (K,), each before its update, in double precision. The network's parameters
    and buffers change in place. A loss that is not finite raises NonFiniteError before its step changes anything.

    The step is recorded twice while the operators make it, and C++ is written from the recording. The first step on a
    batch is made by the operators too: only if both agree are compiled steps used. Raises CompileError otherwise.

    place     gives the step on tensors in fixed places, anew when the network has changed
    examples  one batch or two, on which the step is recorded
    gaining   refuses a step that gains nothing by being compiled, by NoGainError
    like      the steps of a network of the same structure, whose library is used where it fits
    shapes    name -> shape and type of a batch
    """

    _step: PlacedPass
    _tape: Tape
    _roles: Roles
    _compiled: Compiled

    def __init__(
        self,
        engine: Engine,
        place: Callable[[Outlines | None], PlacedPass],
        examples: Sequence[Batch],
        gaining: bool = False,
        like: CompiledSteps | None = None,
    ) -> None:
        self._engine, self._place, self._examples, self._gaining = engine, place, examples, gaining
        self._like = like
        self.shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in examples[0].items()}
        self._make()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: (K, {', '.join(map(str, shape))})" for name, (shape, _) in self.shapes.items())
        return f"CompiledSteps({shapes})"

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
        self.version = engine.version
        self.__dict__.pop("_places", None)
        self._step = self._place(self._like._step.outlines if self._like is not None else None)
        followed = self._like is not None and self._follow(self._like)
        calls = TorchCalls(self._tape) if followed else self._record()
        self._workspace = calls.make_workspace(self._compiled.workspace)
        given = [self._tape.given[storage].data_ptr() for storage in self._compiled.given]
        self._compiled.place(given, self._workspace.data_ptr())
        self._verified, self._seconds = False, 0.0

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

    def _follow(self, like: CompiledSteps) -> bool:
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
        """What tells the storages on which the step works from others, and those of the tape that it writes."""
        places = [address(place.untyped_storage()) for place in self._step.places()]
        return places, {slot.storage for call in self._tape.calls for slot in call.written()}

    def check_again(self, batch: Batch) -> None:
        """Record the step once more. Raises CompileError if it makes other calls than those that were compiled."""
        with torch.inference_mode(False), torch.no_grad():
            if not self._step.record(batch)[0].same_as(self._tape):
                raise CompileError("an operator or the optimizer makes other calls than at first")

    def call(self, block: Block) -> Calls[tuple[int, list[Tensor]]]:
        """Make some of the steps of a block; return how many, and what they hand out.

        None are made if the total loss of the first is not finite, or its class indices are out of range.
        """
        if self.version != self._engine.version:
            self._make()
        part = block.part(0, self._size(len(block)))
        if not self._verified:
            return self._verify(part)
        start = time.perf_counter()
        self._begin(part)
        try:
            yield self._compiled
        finally:  # also where Ctrl-C ends it: what was made counts
            done, found = self._end()
        self._check()
        self._seconds = (time.perf_counter() - start) / max(done, 1)
        return done, found

    def _size(self, left: int) -> int:
        """How many steps the next call makes."""
        if not self._verified:
            return 1
        each = sum(slot.size * slot.dtype.itemsize for slot in self._roles.results)
        in_time = max(1, int(SECONDS / self._seconds)) if self._seconds else 8
        return min(left, in_time, max(1, RESULT_BYTES // each), self._step.steps_at_once)

    def _begin(self, block: Block) -> None:
        """Prepare a run."""
        count, rows = len(block), block.rows
        batches = [block.inputs[name] for name in self.shapes]
        moving = [*batches, *self._step.draw(count)]
        found = [torch.empty((count, *slot.shape), dtype=slot.dtype, device="cpu") for slot in self._roles.results]
        self._running = count, found, moving, rows  # they live as long as C++ works on them
        addresses = [each.data_ptr() for each in moving], [each.data_ptr() for each in found]
        self._compiled.prepare(*addresses, count, None if rows is None else rows.data_ptr())

    def _end(self) -> tuple[int, list[Tensor]]:
        """Count what a run has made; return how many steps, and what they hand out."""
        (count, found, _, _), done = self._running, self._compiled.made
        if done < count:
            self._step.rewind(done)
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
    def _verify(self, block: Block) -> tuple[int, list[Tensor]]:
        """Make one step by the operators and in C++; CompileError, and nothing has changed, if they disagree."""
        step, bounds = self._step, ROUNDING[self._engine.dtype]
        parameters = {name: tensor.clone() for name, tensor in self._engine.store.parameters.items()}
        before = step.snapshot()
        with before:
            step.load(block.batch(0))
            expected = step.outcome([result.clone() for result in step.make()])
        if not bool(torch.isfinite(expected.values["the loss"])):
            return 0, [torch.empty(0)] * len(self._roles.results)
        try:
            self._begin(block)
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
            before.restore()
            raise
        self._verified = True
        self._step.advance(made)
        return made, found

    def __call__(self, inputs: Batch) -> Tensor:
        """Make a step on each batch; return the losses."""
        given = self._checked(inputs)
        losses, made, count = [], 0, len(next(iter(given.values())))
        while made < count:
            done, found = completed(self.call(Block(given).part(made, count)))
            if not done:
                raise NonFiniteError(
                    f"Step {made + 1} of {count} cannot be made: its loss is not finite, or an index is out of range. "
                    "Parameters are as they were before that step; net.forward on its batch shows where."
                )
            losses.append(found[0])
            made += done
        return torch.cat(losses) if losses else torch.empty(0, dtype=torch.float64)

    def _checked(self, inputs: Batch) -> dict[Key, Tensor]:
        """The batches, stacked, by name; what does not fit is refused."""
        for name in inputs.keys() - self.shapes.keys():
            raise UnknownNodeError(f"The steps take no input {name!r}.{did_you_mean(name, self.shapes)}")
        given = {}
        for name, (shape, dtype) in self.shapes.items():
            if name not in inputs:
                raise MissingInputError(f"The steps need the input {name!r}.")
            given[name] = torch.as_tensor(inputs[name]).to("cpu", dtype).contiguous()
            if given[name].shape[1:] != shape:
                raise ShapeError(
                    f"{name} has the shape {tuple(given[name].shape)}, and the steps were compiled for batches of "
                    f"{tuple(shape)}: give (K, {', '.join(map(str, shape))})."
                )
        if len({len(tensor) for tensor in given.values()}) > 1:
            raise ShapeError("The inputs hold different numbers of batches along their first axis.")
        return given


def completed(calls: Calls[T]) -> T:
    """Run what is yielded, one after another; return the generator's result."""
    (found,) = completed_together([calls])
    if isinstance(found, Exception):
        raise found
    return found


def completed_together(several: Sequence[Calls[T]]) -> list[T | Exception]:
    """Run generators side by side, with what they yield at the same time in one call; their results or errors."""
    found: dict[int, T | Exception] = {}
    waiting = dict(enumerate(several))
    try:
        while waiting:
            prepared = []
            for k, calls in list(waiting.items()):
                try:
                    prepared.append(next(calls))
                    continue
                except StopIteration as end:
                    found[k] = cast(T, end.value)
                except Exception as error:
                    found[k] = error
                del waiting[k]
            run_all(prepared)
    finally:  # also where Ctrl-C ends it
        for calls in waiting.values():
            calls.close()
    return [found[k] for k in range(len(several))]


def compile_steps(engine: Engine, stepper: Any, batch: Batch) -> CompiledSteps:
    """Compile steps on such batches, by an optimizer that is bound to the network."""

    def place(outlines: Outlines | None) -> PlacedStep:
        plan = engine.backward_plan(engine.plan(engine.losses), engine.losses)
        if not plan.owners:
            raise CompileError("no parameter that is not frozen reaches a loss")
        moves = stepper.moves(plan.owners, together=plan.owners)
        return PlacedStep(engine, TrainingPasses(plan, engine.store.by_node, engine.chance, moves), moves, batch)

    return CompiledSteps(engine, place, [batch])
