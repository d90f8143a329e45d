"""The passes of a training step, and where the gradients of parameters go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from graphdl.errors import GradientError, OperatorError
from graphdl.execution.passes import Backward, Forward, ParametersByNode, Trace, run_backward, run_forward
from graphdl.execution.plan import BackwardPlan, BackwardStep, Step
from graphdl.execution.recompute import Recomputation
from graphdl.graph import Key
from graphdl.parameters import Extent, Name


class ParameterGradients:
    """Takes the gradients of parameters as they come, and adds those of steps that share an operator.

    by_node  node -> {name: gradient}
    """

    def __init__(self, plan: BackwardPlan, parameters: ParametersByNode) -> None:
        self._training = plan.positions
        self._parameters = parameters
        self.by_node: dict[Key, dict[str, Tensor]] = {}

    def __call__(self, entry: BackwardStep, gradients: dict[str, Tensor] | None) -> None:
        """Take the gradients of a step's parameters."""
        if gradients is None or entry.position not in self._training:
            if gradients and not self._parameters.get(entry.step.owner):
                check_parameter_gradient(entry.step, next(iter(gradients)), None, {})
            return
        owner = entry.step.owner
        parameters = self._parameters[owner]
        for name, gradient in gradients.items():
            if name not in parameters or gradient.__class__ is not Tensor or gradient.shape != parameters[name].shape:
                check_parameter_gradient(entry.step, name, gradient, parameters)
        if not entry.step.reads:  # a leaf's gradient is that of its value, which other nodes may hold too
            gradients = {name: gradient.clone() for name, gradient in gradients.items()}
        if owner in self.by_node:
            held = self.by_node[owner]
            gradients = {name: held[name] + gradient for name, gradient in gradients.items()}
        self.by_node[owner] = gradients

    def of(self, extent: Extent) -> Tensor:
        """The gradient of a parameter; 0 where no path leads to it."""
        found = self.by_node.get(extent.node)
        if found is None:
            return torch.zeros_like(self._parameters[extent.node][extent.name])
        if extent.name not in found:
            raise _lacking(str(extent.node), extent.name)
        return found[extent.name]


def check_parameter_gradient(step: Step, name: str, gradient: Any, parameters: Mapping[str, Tensor]) -> None:
    """Refuse a gradient of no parameter, or of another shape than the parameter: torch would stretch some of them."""
    if name not in parameters:
        raise GradientError(f"{step.name}: its backward returned a gradient of {name!r}, which is not its parameter.")
    shape = parameters[name].shape
    if not isinstance(gradient, Tensor) or gradient.shape != shape:
        found = tuple(gradient.shape) if isinstance(gradient, Tensor) else f"of a {type(gradient).__name__}"
        raise GradientError(
            f"{step.name}: the gradient of the parameter {name!r} has the shape {found}, and the parameter "
            f"{tuple(shape)}. Its backward is wrong: see graphdl.check_gradients."
        )


def _lacking(where: str, name: str) -> OperatorError:
    return OperatorError(
        f"{where}: its backward returned no gradient of the parameter {name!r}. "
        "backward returns (gradients of the inputs, {name: gradient of each parameter})."
    )


class GroupMove(Protocol):
    """A call that moves the parameters of some nodes, once their gradients are written where it says."""

    nodes: frozenset[Key]
    gradients: dict[Name, Tensor]

    def __call__(self) -> None:
        """Move them."""
        ...


class ParameterMoves(Protocol):
    """What moves the parameters: the large ones each by its gradient, the small ones in groups."""

    single: dict[Name, Callable[[Tensor], None]]

    @property
    def groups(self) -> Sequence[GroupMove]:
        """Those of the small ones, in the order in which they can be called."""
        ...


@dataclass
class _Destination:
    """Where a gradient goes: the first step writes into `memory` and others add to it, or `move` takes it."""

    name: str
    memory: Tensor | None
    move: Callable[[Tensor], None] | None
    first: bool


class TrainingPasses:
    """The passes of a training step, bound to the tensors that they work on. Nothing is recorded.

    A large parameter moves as soon as its gradient is known, which is freed then. Nothing is saved of steps that
    backward does not visit, nor of those that it computes again.

    call  makes a move: call(function, *tensors). A recorder replaces it, since moves are never recorded inside
    """

    def __init__(
        self,
        plan: BackwardPlan,
        parameters: ParametersByNode,
        generator: Generator | None,
        moves: ParameterMoves,
        recompute: Recomputation | None = None,
    ) -> None:
        self.plan, self._parameters = plan, parameters
        visited = frozenset(entry.position for entry in plan.steps)
        saving = None if len(visited) == len(plan.forward.steps) else visited
        self.how = Forward(training=True, saving=saving, generator=generator, recompute=recompute)
        self.call: Callable[..., None] = make_call
        self._needs: dict[int, dict[str, Tensor | None]] = {}
        self._destinations: dict[int, list[_Destination]] = {}
        self._groups: dict[int, list[GroupMove]] = {}
        self._bind(moves)
        self.back = Backward(self._deliver, self._needs, recompute=recompute)

    def _bind(self, moves: ParameterMoves) -> None:
        """Say of each step where the gradients of its parameters go, and which group can move after it."""
        group_of = {node: group for group in moves.groups for node in group.nodes}
        memory = {name: tensor for group in moves.groups for name, tensor in group.gradients.items()}
        names: dict[Key, list[str]] = {}
        for node, name in (*memory, *moves.single):
            names.setdefault(node, []).append(name)
        met: set[Name] = set()
        last: dict[int, tuple[int, GroupMove]] = {}
        for entry in self.plan.steps:
            k, node = entry.position, entry.step.owner
            needs: dict[str, Tensor | None] = dict.fromkeys(entry.needs or ())
            for name in names.get(node, ()):
                place = node, name
                found = _Destination(name, memory.get(place), moves.single.get(place), place not in met)
                self._destinations.setdefault(k, []).append(found)
                if found.first and found.memory is not None:
                    needs[name] = found.memory
                met.add(place)
            if node in group_of:
                last[id(group_of[node])] = k, group_of[node]
            self._needs[k] = needs
        for k, group in last.values():
            self._groups.setdefault(k, []).append(group)

    def _deliver(self, entry: BackwardStep, gradients: dict[str, Tensor] | None) -> None:
        """Put the gradients of a step's parameters where they belong; move what is complete."""
        k, step = entry.position, entry.step
        for to in self._destinations.get(k, ()):
            if gradients is None:
                if to.first and to.memory is not None:
                    to.memory.zero_()
                continue
            gradient = gradients.get(to.name)
            if gradient is not to.memory or gradient is None:
                if gradient is None:
                    raise _lacking(step.name, to.name)
                check_parameter_gradient(step, to.name, gradient, self._parameters[step.owner])
                if to.move is not None:
                    self.call(to.move, gradient)
                elif to.memory is not None:
                    to.memory.copy_(gradient) if to.first else to.memory.add_(gradient)
        for group in self._groups.get(k, ()):
            self.call(group)

    def forward(self, inputs: Mapping[Key, Tensor], **changes: Any) -> Trace:
        """Compute the losses; `changes` are other fields of Forward."""
        how = replace(self.how, **changes) if changes else self.how
        return run_forward(self.plan.forward, self._parameters, inputs, how)

    def backward(self, trace: Trace, starts: Mapping[int, Any], **changes: Any) -> None:
        """Send the gradients back and move the parameters; `changes` are other fields of Backward."""
        how = replace(self.back, **changes) if changes else self.back
        run_backward(self.plan, self._parameters, trace, starts, how)


def make_call(function: Callable[..., None], *tensors: Tensor) -> None:
    """Make a call at once."""
    function(*tensors)
