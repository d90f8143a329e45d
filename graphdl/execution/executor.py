"""Runs a plan: forward in order, backward in reverse. Pure in the parameters and the inputs; only buffers change.

Nothing is checked beforehand: an operator that fails is explained afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from torch import Generator, Tensor

from graphdl.errors import OperatorError, UnknownNodeError, did_you_mean, listing
from graphdl.execution.diagnosis import backward_failure, forward_failure, wrong_gradient
from graphdl.execution.parameters import Extent
from graphdl.execution.plan import BackwardPlan, Plan
from graphdl.execution.program import Program, backward_program, forward_program, training_program
from graphdl.graph import Key

ParametersByNode: TypeAlias = Mapping[Key, dict[str, Tensor]]


class Recorded(dict[Any, Any]):
    """What a pass recorded, by name; a name of which there is nothing is told."""

    def __missing__(self, name: object) -> Any:
        held = f"There is something of {listing(map(repr, self))}." if self else "Call forward, and backward, first."
        raise UnknownNodeError(f"Nothing is recorded of {name!r}.{did_you_mean(name, self)} {held}")


@dataclass
class Trace:
    """What a forward pass leaves: the values by index, and by step what it saved for backward."""

    values: list[Any]
    saved: list[Any]


def run_forward(
    plan: Plan,
    parameters: ParametersByNode,
    inputs: Mapping[Key, Any],
    *,
    training: bool,
    keep_values: bool = False,
    keep_saved: bool = True,
    generator: Generator | None = None,
) -> Trace:
    """Compute the plan's targets. A value that is not kept is freed after its last use.

    generator  whence operators draw in training
    """
    values: list[Any] = [None] * plan.size
    for name, i in plan.inputs.items():
        values[i] = inputs[name]
    saved: list[Any] = [None] * len(plan.steps)
    program: Program | None = plan.programs.get((keep_values, keep_saved))
    if program is None:
        program = forward_program(plan, keep_values=keep_values, keep_saved=keep_saved)
        plan.programs[keep_values, keep_saved] = program
    try:
        program(values, saved, [parameters[owner] for owner in plan.owners], training, generator)
    except Exception as error:
        step = program.failed_step(error)
        if step is None:
            raise
        raise forward_failure(plan, step, values, parameters[step.owner], error) from error
    return Trace(values, saved)


@dataclass
class GradientTrace:
    """What a backward pass leaves: the gradients of the values by index, and of the parameters by node."""

    values: list[Any]
    parameters: dict[Key, dict[str, Tensor]]

    def of(self, extents: Sequence[Extent]) -> list[Tensor]:
        """The gradients of parameters of nodes that the pass reached."""
        found = self.parameters
        try:
            return [found[extent.node][extent.name] for extent in extents]
        except KeyError:
            lacking = next(extent for extent in extents if extent.name not in found[extent.node])
            raise OperatorError(
                f"{lacking.node}: its backward returned no gradient of the parameter {lacking.name!r}. "
                "backward returns (gradients of the inputs, {name: gradient of each parameter})."
            ) from None


def run_backward(
    plan: BackwardPlan,
    parameters: ParametersByNode,
    trace: Trace,
    starts: Mapping[int, Any],
    *,
    keep: bool = False,
) -> GradientTrace:
    """Send gradients from the starting values back along the plan, adding where paths meet.

    Unless `keep`, gradients and saved tensors are freed as soon as they are used, and the trace serves once.
    """
    values: list[Any] = [None] * len(trace.values)
    for i, dy in starts.items():
        values[i] = dy
    by_step: list[Any] = [None] * len(trace.saved)
    program: Program | None = plan.programs.get(keep)
    if program is None:
        program = plan.programs[keep] = backward_program(plan, keep=keep)
    try:
        program(values, trace.saved, [parameters[owner] for owner in plan.forward.owners], by_step, set())
    except Exception as error:
        step = program.failed_step(error)
        if step is None:
            raise
        raise (wrong_gradient(plan, trace.values, values) or backward_failure(step, error)) from error
    if keep and (wrong := wrong_gradient(plan, trace.values, values)):
        raise wrong
    return GradientTrace(values, {owner: by_step[k] for k, owner in plan.training if by_step[k] is not None})


class ParameterUpdate(Protocol):
    """A call that moves the parameters of some nodes, once their gradients are written where it says."""

    gradients: dict[Key, dict[str, Tensor]]

    def __call__(self) -> None:
        """Move the parameters."""
        ...


class TrainingRun:
    """The passes of a training step, bound to the tensors that they work on. Nothing is recorded.

    updates  each is called as soon as the last of its nodes is passed
    """

    def __init__(
        self,
        plan: BackwardPlan,
        parameters: ParametersByNode,
        generator: Generator,
        updates: Sequence[ParameterUpdate],
    ) -> None:
        self.plan, self._generator = plan, generator
        self._parameters = [parameters[owner] for owner in plan.forward.owners]
        self._forward = forward_program(plan.forward, keep_values=False, keep_saved=True)
        self._updates = updates
        self._destinations: list[Tensor] = []
        self._needs: dict[int, dict[str, Tensor | None]] = {}
        self._backward = training_program(plan, *self._bind([update.gradients for update in updates]))

    def _bind(
        self, groups: Sequence[Mapping[Key, Mapping[str, Tensor]]]
    ) -> tuple[dict[int, list[tuple[str, int, bool]]], dict[int, int]]:
        """Say which step writes where, and after which one each update can be made."""
        group_of = {node: j for j, gradients in enumerate(groups) for node in gradients}
        index: dict[tuple[Key, str], int] = {}
        written: dict[int, list[tuple[str, int, bool]]] = {}
        last: dict[int, int] = {}
        for entry in self.plan.steps:
            k, owner = entry.position, entry.step.owner
            needs: dict[str, Tensor | None] = dict.fromkeys(entry.needs or ())
            if owner in group_of:
                last[group_of[owner]] = k
                for name, destination in groups[group_of[owner]][owner].items():
                    again = (owner, name) in index
                    if not again:
                        index[owner, name] = len(self._destinations)
                        self._destinations.append(destination)
                        needs[name] = destination
                    written.setdefault(k, []).append((name, index[owner, name], again))
            self._needs[k] = needs
        return written, {k: j for j, k in last.items()}

    def forward(self, inputs: Mapping[Key, Tensor]) -> Trace:
        """Compute the losses."""
        plan = self.plan.forward
        values: list[Any] = [None] * plan.size
        for name, i in plan.inputs.items():
            values[i] = inputs[name]
        saved: list[Any] = [None] * len(plan.steps)
        try:
            self._forward(values, saved, self._parameters, True, self._generator)
        except Exception as error:
            step = self._forward.failed_step(error)
            if step is None:
                raise
            position = next(k for k, other in enumerate(plan.steps) if other is step)
            raise forward_failure(plan, step, values, self._parameters[position], error) from error
        return Trace(values, saved)

    def backward(self, trace: Trace, starts: Mapping[int, Any]) -> None:
        """Send the gradients back and move the parameters."""
        values: list[Any] = [None] * len(trace.values)
        for i, dy in starts.items():
            values[i] = dy
        try:
            self._backward(values, trace.saved, self._parameters, self._needs, self._destinations, self._updates, set())
        except Exception as error:
            step = self._backward.failed_step(error)
            if step is None:
                raise
            raise backward_failure(step, error) from error
