"""The one walk forward and the one walk backward over a plan.

They serve every way in which a step is made: custom loops, `fit`, cost, recomputation and recording.
Nothing is checked in advance: an operator that fails is explained afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from graphdl.execution.diagnosis import (
    as_tuple,
    backward_failure,
    check_shape,
    forward_failure,
    no_pair,
    unlike_before,
)
from graphdl.execution.plan import BackwardPlan, BackwardStep, Plan, Step
from graphdl.execution.recompute import Recomputation, fingerprint
from graphdl.graph import Key
from graphdl.operators.tuples import TupleGradient, shape_of

ParametersByNode: TypeAlias = Mapping[Key, dict[str, Tensor]]
Draw: TypeAlias = Callable[[Step, Sequence[Any]], Any]
Deliver: TypeAlias = Callable[[BackwardStep, dict[str, Tensor] | None], None]

OWNED = 4
"""References to a value that nothing else holds while its only reader is about to run: the list of values, the list of
the step's inputs, a local variable and the argument that counts them."""


@dataclass
class Trace:
    """What a forward walk leaves: the values by index, their shapes, and by step what it saved for backward."""

    values: list[Any]
    shapes: list[Any] = field(default_factory=list)
    saved: list[Any] = field(default_factory=list)

    def take(self, k: int, keep: bool) -> Any:
        """What a step saved, held here no longer unless `keep`."""
        saved, self.saved[k] = self.saved[k], self.saved[k] if keep else None
        return saved


@dataclass(slots=True)
class Forward:
    """How a forward walk is made.

    training     whether operators that are not frozen run as in training
    keep_values  keep every value; else each is freed after its last use, and operators may write over it
    saving       the positions of the steps that save for backward; None is all
    generator    the random generator used by operators
    recompute    the steps that a backward walk computes again
    check        whether what is computed again must turn out as it was
    draw         draws random numbers for a step; by default its operator does, from the generator
    before       called with each step and its inputs
    """

    training: bool
    keep_values: bool = False
    saving: Collection[int] | None = None
    generator: Generator | None = None
    recompute: Recomputation | None = None
    check: bool = False
    draw: Draw | None = None
    before: Callable[[Step, Sequence[Any]], None] | None = None

    def drawn(self, step: Step, xs: Sequence[Any]) -> Any:
        """What a step draws in training."""
        if self.draw is not None:
            return self.draw(step, xs)
        return step.operator.draw(*xs, generator=self.generator)


def run_forward(plan: Plan, parameters: ParametersByNode, inputs: Mapping[Key, Any], how: Forward) -> Trace:
    """Compute the plan's targets."""
    trace = _begin(plan, inputs)
    values, shapes = trace.values, trace.shapes
    training, saving = how.training, how.saving
    again, kept = (how.recompute.positions, how.recompute.inputs) if how.recompute else ((), ())
    special = plan.drawing if how.keep_values else plan.drawing | plan.reusing
    for k, step in enumerate(plan.steps):
        reads = step.reads
        xs = (values[reads[0]],) if len(reads) == 1 else [values[i] for i in reads]
        if how.before is not None:
            how.before(step, xs)
        p = parameters[step.owner]
        try:
            if k in again:
                y, saved = _compute_first(step, p, xs, how)
            elif k in special:
                y, saved = compute(step, p, xs, how)
            else:
                returned = step.operator.forward(p, *xs, training=training and not step.frozen)
                y, saved = returned if returned.__class__ is tuple and len(returned) == 2 else no_pair(returned)
                del returned
        except Exception as error:
            raise forward_failure(plan, step, values, p, error) from error
        values[step.writes] = y
        shapes[step.writes] = y.shape if y.__class__ is Tensor else shape_of(y)
        if saving is None or k in saving:
            trace.saved[k] = saved
        if not how.keep_values:
            for i in step.frees:
                if i not in kept:
                    values[i] = None
        del xs, y, saved
    return trace


def _begin(plan: Plan, inputs: Mapping[Key, Any]) -> Trace:
    """A trace that holds the inputs."""
    values: list[Any] = [None] * plan.size
    shapes: list[Any] = [None] * plan.size
    for name, i in plan.inputs.items():
        values[i] = x = inputs.get(name)
        shapes[i] = shape_of(x)
    return Trace(values, shapes, [None] * len(plan.steps))


def compute(step: Step, p: dict[str, Tensor], xs: Sequence[Any], how: Forward) -> tuple[Any, Any]:
    """Compute a step that may draw random numbers or write over one of its inputs."""
    training = how.training and not step.frozen
    drawn = how.drawn(step, xs) if step.draws and training else None
    kept = () if how.recompute is None else how.recompute.inputs
    return _call(step, p, xs, training, drawn, None if how.keep_values else _exclusive(step, xs, kept))


def _call(
    step: Step, p: dict[str, Tensor], xs: Sequence[Any], training: bool, drawn: Any, out: Tensor | None
) -> tuple[Any, Any]:
    options: dict[str, Any] = {}
    if step.draws:
        options["drawn"] = drawn
    if out is not None:
        options["out"] = out
    returned = step.operator.forward(p, *xs, training=training, **options)
    return returned if returned.__class__ is tuple and len(returned) == 2 else no_pair(returned)


def _exclusive(step: Step, xs: Sequence[Any], kept: Collection[int]) -> Tensor | None:
    """An input over which a step may write its output: it is read, held and shared nowhere else."""
    if not step.takes_out:
        return None
    for slot in reversed(range(len(xs))):
        i, x = step.reads[slot], xs[slot]
        if (
            i in step.frees
            and i not in kept
            and isinstance(x, Tensor)
            and step.reads.count(i) == 1
            and sys.getrefcount(x) == OWNED
            and torch._C._storage_Use_Count(x.untyped_storage()._cdata) == 2  # the tensor, and the one who asks
            and 0 not in x.stride()  # an expanded tensor has one place for several elements
        ):
            return x
    return None


def _compute_first(step: Step, p: dict[str, Tensor], xs: Sequence[Any], how: Forward) -> tuple[Any, Any]:
    """Compute a step that backward computes again: save what it draws and its buffers before."""
    training = how.training and not step.frozen
    before = {name: p[name].clone() for name in step.operator.buffers()}
    drawn = how.drawn(step, xs) if step.draws and training else None
    out = None if how.keep_values or how.recompute is None else _exclusive(step, xs, how.recompute.inputs)
    y = _call(step, p, xs, training, drawn, out)[0]
    return y, (drawn, before, fingerprint(y) if how.check else None)


@dataclass(slots=True)
class Backward:
    """How a backward walk is made.

    deliver    called with each step and the gradients of its parameters, or None where no gradient reached the step
    needs      position of a step -> the `needs` of its operator; by default the names of what is wanted
    keep       keep gradients and what was saved; else they are freed as soon as they are used, and a trace serves once
    recompute  the steps that are computed again
    before     called with each step
    """

    deliver: Deliver
    needs: Mapping[int, Mapping[str, Tensor | None]] = field(default_factory=dict)
    keep: bool = False
    recompute: Recomputation | None = None
    before: Callable[[Step], None] | None = None

    @property
    def again(self) -> Mapping[int, list[tuple[int, Step]]]:
        """Position of a step -> those that are computed again before it."""
        return {} if self.recompute is None else self.recompute.before


def run_backward(
    plan: BackwardPlan, parameters: ParametersByNode, trace: Trace, starts: Mapping[int, Any], how: Backward
) -> list[Any]:
    """Send gradients from the starting values back, adding where paths meet; return them by index."""
    gradients, own, again = _start(starts, len(trace.values)), set[int](), how.again
    for entry in plan.steps:
        k, step = entry.position, entry.step
        if how.before is not None:
            how.before(step)
        if k in again:
            _compute_again(plan.forward, parameters, trace, again[k], how.recompute)
        if (dy := gradients[step.writes]) is None:
            how.deliver(entry, None)
            continue
        if dy.__class__ is TupleGradient:
            dy = gradients[step.writes] = dy.as_tuple()
        p = parameters[step.owner]
        try:  # no variable here holds what was saved: the operator can free it part by part
            if entry.needs is None:
                returned = step.operator.backward(p, trace.take(k, how.keep), dy)
            else:
                needs = how.needs.get(k) or dict.fromkeys(entry.needs)
                returned = step.operator.backward(p, trace.take(k, how.keep), dy, needs)  # type: ignore[call-arg]
            dxs, dps = returned if returned.__class__ is tuple and len(returned) == 2 else no_pair(returned)
            del returned
        except Exception as error:
            raise backward_failure(step, error) from error
        if dxs.__class__ is not tuple or len(dxs) != len(step.reads):
            dxs = as_tuple(step, dxs)
        if not how.keep:
            gradients[step.writes] = None
        del dy
        how.deliver(entry, dps)
        for slot, i, factor in entry.sends:
            if (dx := dxs[slot]) is not None:
                if dx.__class__ is not Tensor or dx.shape != trace.shapes[i]:
                    check_shape(plan.forward, step, slot, i, dx, trace.shapes[i])
                _accumulate(gradients, i, dx, factor, own)
        del dxs, dps
    return gradients


def _start(starts: Mapping[int, Any], count: int) -> list[Any]:
    """Index -> gradient, for so many values."""
    gradients: list[Any] = [None] * count
    for i, dy in starts.items():
        gradients[i] = dy
    return gradients


def _accumulate(gradients: list[Any], index: int, gradient: Any, factor: float, own: set[int]) -> None:
    """Add a consumer's gradient times its edge's factor: in place only into a sum that was made here.

    own  the indexes of the values whose gradients are sums that were made here
    """
    several = isinstance(gradient, (tuple, TupleGradient))
    if factor != 1:
        gradient = TupleGradient.of(gradient).scaled(factor) if several else gradient * factor
    held = gradients[index]
    if held is None:
        gradients[index] = gradient
    elif several:
        if isinstance(held, tuple):
            held = gradients[index] = TupleGradient.of(held)
        held.add(gradient)
    elif index in own and held.dtype == gradient.dtype:
        held.add_(gradient)
    else:
        gradients[index] = held + gradient
        own.add(index)


def _compute_again(
    plan: Plan,
    parameters: ParametersByNode,
    trace: Trace,
    steps: Collection[tuple[int, Step]],
    recompute: Recomputation | None,
) -> None:
    """Compute steps again, with what was drawn and the buffers of then."""
    kept = recompute.inputs if recompute else ()
    for k, step in steps:
        drawn, before, expected = trace.saved[k]
        xs = [trace.values[i] for i in step.reads]
        p = {**parameters[step.owner], **before}
        try:
            y, trace.saved[k] = _call(step, p, xs, not step.frozen, drawn, _exclusive(step, xs, kept))
        except Exception as error:
            raise forward_failure(plan, step, trace.values, p, error) from error
        if expected is not None and fingerprint(y) != expected:
            raise unlike_before(step)
        trace.values[step.writes] = y
        for i in step.frees:
            trace.values[i] = None
        del xs, y
