"""Runs a plan: forward in order, backward in reverse. Pure in the parameters and the inputs; only buffers change.

Nothing is checked beforehand: an operator that fails is explained afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from torch import Generator, Tensor

from graphdl.errors import OperatorError, UnknownNodeError, did_you_mean, listing
from graphdl.execution.diagnosis import backward_failure, forward_failure, wrong_gradient
from graphdl.execution.parameters import Extent
from graphdl.execution.plan import BackwardPlan, Plan
from graphdl.execution.program import Destination, Program, backward_program, forward_program, training_program
from graphdl.execution.recompute import Recomputation
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
    recompute: Recomputation | None = None,
) -> Trace:
    """Compute the plan's targets. A value that is not kept is freed after its last use.

    generator  whence operators draw in training
    recompute  what a backward with the same recompute computes again
    """
    program = _forward_program(plan, keep_values, keep_saved, None, recompute)
    return _run(program, plan, [parameters[owner] for owner in plan.owners], inputs, training, generator)


def _run(
    program: Program,
    plan: Plan,
    parameters: Sequence[dict[str, Tensor]],
    inputs: Mapping[Key, Any],
    training: bool,
    generator: Generator | None,
) -> Trace:
    """Run a plan's program forward; explain a failure. `parameters` are those of each step."""
    values: list[Any] = [None] * plan.size
    for name, i in plan.inputs.items():
        values[i] = inputs[name]
    saved: list[Any] = [None] * len(plan.steps)
    try:
        program(values, saved, parameters, training, generator)
    except Exception as error:
        step = program.failed_step(error)
        if step is None:
            raise
        held = parameters[step.writes - len(plan.inputs)]
        raise forward_failure(plan, step, values, held, error) from error
    return Trace(values, saved)


def _forward_program(
    plan: Plan,
    keep_values: bool,
    keep_saved: bool,
    saving: frozenset[int] | None,
    recompute: Recomputation | None,
) -> Program:
    """The program of a plan, made once."""
    chosen = keep_values, keep_saved, saving, recompute and (recompute.positions, recompute.inputs)
    if chosen not in plan.programs:
        plan.programs[chosen] = forward_program(
            plan, keep_values=keep_values, keep_saved=keep_saved, saving=saving, recompute=recompute
        )
    found: Program = plan.programs[chosen]
    return found


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
    recompute: Recomputation | None = None,
) -> GradientTrace:
    """Send gradients from the starting values back along the plan, adding where paths meet.

    Unless `keep`, gradients and saved tensors are freed as soon as they are used, and the trace serves once.
    """
    values: list[Any] = [None] * len(trace.values)
    for i, dy in starts.items():
        values[i] = dy
    by_step: list[Any] = [None] * len(trace.saved)
    chosen = keep, recompute and recompute.positions
    program: Program | None = plan.programs.get(chosen)
    if program is None:
        program = plan.programs[chosen] = backward_program(plan, keep=keep, recompute=recompute)
    by_owner = [parameters[owner] for owner in plan.forward.owners]
    try:
        program(values, trace.saved, by_owner, by_step, set(), trace.values)
    except Exception as error:
        step = program.failed_step(error)
        if step is None:
            raise
        raise (wrong_gradient(plan, trace.values, values) or backward_failure(step, error)) from error
    if keep and (wrong := wrong_gradient(plan, trace.values, values)):
        raise wrong
    return GradientTrace(values, {owner: by_step[k] for k, owner in plan.training if by_step[k] is not None})


class GroupMove(Protocol):
    """A call that moves the parameters of some nodes, once their gradients are written where it says."""

    nodes: frozenset[Key]
    gradients: dict[tuple[Key, str], Tensor]

    def __call__(self) -> None:
        """Move them."""
        ...


class ParameterMoves(Protocol):
    """What moves the parameters: the large ones each by its gradient, the small ones in groups."""

    single: dict[tuple[Key, str], Callable[[Tensor], None]]

    @property
    def groups(self) -> Sequence[GroupMove]:
        """Those of the small ones, in the order in which they can be called."""
        ...


class TrainingRun:
    """The passes of a training step, bound to the tensors that they work on. Nothing is recorded.

    A large parameter moves as soon as its gradient is known, which is freed then. Nothing is saved of steps that
    backward does not visit, nor of those that it computes again.
    """

    def __init__(
        self,
        plan: BackwardPlan,
        parameters: ParametersByNode,
        generator: Generator,
        moves: ParameterMoves,
        recompute: Recomputation | None = None,
    ) -> None:
        self.plan, self._generator = plan, generator
        self._parameters = [parameters[owner] for owner in plan.forward.owners]
        visited = frozenset(entry.position for entry in plan.steps)
        saving = None if len(visited) == len(plan.forward.steps) else visited
        self._forward = _forward_program(plan.forward, False, True, saving, recompute)
        self._needs: dict[int, dict[str, Tensor | None]] = {}
        self._destinations: list[Any] = []
        self._backward = training_program(plan, self._bind(moves), recompute)

    @property
    def programs(self) -> tuple[Program, Program]:
        """The programs of forward and backward."""
        return self._forward, self._backward

    def _bind(self, moves: ParameterMoves) -> dict[int, list[Destination]]:
        """Say of each step where the gradients of its parameters go, and which group can move after it."""
        group_of = {node: group for group in moves.groups for node in group.nodes}
        written = {name: tensor for group in moves.groups for name, tensor in group.gradients.items()}
        names: dict[Key, list[str]] = {}
        for node, name in (*written, *moves.single):
            names.setdefault(node, []).append(name)
        index: dict[tuple[Key, str], int] = {}
        destinations: dict[int, list[Destination]] = {}
        last: dict[int, tuple[int, GroupMove]] = {}
        for entry in self.plan.steps:
            k, node = entry.position, entry.step.owner
            needs: dict[str, Any] = dict.fromkeys(entry.needs or ())
            for name in names.get(node, ()):
                place = node, name
                use = "move" if place in moves.single else "add" if place in index else "write"
                if use != "add":
                    index[place] = len(self._destinations)
                    self._destinations.append(moves.single[place] if use == "move" else written[place])
                if use == "write":
                    needs[name] = written[place]
                destinations.setdefault(k, []).append((name, index[place], use))
            if node in group_of:
                last[id(group_of[node])] = k, group_of[node]
            self._needs[k] = needs
        for k, group in last.values():
            destinations[k].append(("", len(self._destinations), "call"))
            self._destinations.append(group)
        return destinations

    def forward(self, inputs: Mapping[Key, Tensor]) -> Trace:
        """Compute the losses."""
        return _run(self._forward, self.plan.forward, self._parameters, inputs, True, self._generator)

    def backward(self, trace: Trace, starts: Mapping[int, Any]) -> None:
        """Send the gradients back and move the parameters."""
        values: list[Any] = [None] * len(trace.values)
        for i, dy in starts.items():
            values[i] = dy
        try:
            self._backward(values, trace.saved, self._parameters, self._needs, self._destinations, set(), trace.values)
        except Exception as error:
            step = self._backward.failed_step(error)
            if step is None:
                raise
            raise backward_failure(step, error) from error
