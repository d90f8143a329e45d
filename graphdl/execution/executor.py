"""Runs a plan: forward in order, backward in reverse. Pure in the parameters and the inputs.

Only buffers are changed. Nothing here checks a shape: an operator that fails is explained afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from graphdl.errors import OperatorError, listing
from graphdl.execution.diagnosis import backward_failure, forward_failure
from graphdl.execution.parameters import Extent
from graphdl.execution.plan import BackwardPlan, Plan
from graphdl.graph import Key

ParametersByNode: TypeAlias = Mapping[Key, dict[str, Tensor]]


@dataclass
class Trace:
    """What a forward pass leaves: the values by index, and what each step saved for backward (empty if not kept)."""

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
) -> Trace:
    """Compute the plan's targets. A value that is not kept is freed after its last use."""
    values: list[Any] = [None] * plan.size
    for name, i in plan.inputs.items():
        values[i] = inputs[name]
    saved: list[Any] = []
    step = None
    try:
        for step in plan.steps:
            values[step.writes], state = step.operator.forward(
                parameters[step.owner], *[values[i] for i in step.reads], training=training
            )
            if keep_saved:
                saved.append(state)
            if not keep_values:
                for i in step.frees:
                    values[i] = None
    except Exception as error:
        if step is None:
            raise
        raise forward_failure(plan, step, values, parameters[step.owner], error) from error
    return Trace(values, saved)


@dataclass
class GradientTrace:
    """What a backward pass leaves: the gradients of the values by index, and of the parameters by node."""

    values: list[Any]
    parameters: dict[Key, dict[str, Tensor]]

    def of(self, extent: Extent) -> Tensor | None:
        """The gradient of a parameter; None if nothing flowed to its node."""
        found = self.parameters.get(extent.node)
        if found is None:
            return None
        if extent.name not in found:
            raise OperatorError(
                f"{extent.node}: its backward returned no gradient of the parameter {extent.name!r}, only of "
                f"{listing(map(repr, found)) or 'none'}. backward returns (gradients of the inputs, {{name: gradient}})."
            )
        return found[extent.name]


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
    summed: set[int] = set()
    found: dict[Key, dict[str, Tensor]] = {}
    entry = None
    try:
        for entry in plan.steps:
            step = entry.step
            dy = values[step.writes]
            if dy is None:
                continue
            arguments = (parameters[step.owner], trace.saved[entry.position], dy)
            backward = step.operator.backward
            dxs, dps = backward(*arguments) if entry.needs is None else backward(*arguments, entry.needs)  # type: ignore[call-arg]
            if not keep:
                values[step.writes] = trace.saved[entry.position] = None
            if isinstance(dxs, Tensor):
                dxs = (dxs,)
            for slot, i, factor in entry.sends:
                dx = dxs[slot] if factor == 1 else _scaled(dxs[slot], factor)
                values[i] = dx if values[i] is None else _added(values[i], dx, i, summed)
            if step.owner in plan.owners:
                held = found.get(step.owner)
                found[step.owner] = dps if held is None else {name: held[name] + dps[name] for name in held}
    except Exception as error:
        if entry is None:
            raise
        raise backward_failure(entry.step, error) from error
    return GradientTrace(values, found)


def _scaled(gradient: Any, factor: float) -> Any:
    """The gradient as an edge's policy lets it through."""
    if gradient is None:
        return None
    return tuple(g * factor for g in gradient) if isinstance(gradient, tuple) else gradient * factor


def _added(held: Any, gradient: Any, index: int, summed: set[int]) -> Any:
    """The sum of two consumers' gradients: in place only into a sum that was made here."""
    if gradient is None:
        return held
    if isinstance(held, tuple):
        return tuple(a + b for a, b in zip(held, gradient, strict=True))
    if index in summed:
        return held.add_(gradient)
    summed.add(index)
    return held + gradient
