"""Shapes and left-out sizes, found by running the operators on meta tensors: nothing is computed or allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, listing
from graphdl.execution.diagnosis import forward_failure
from graphdl.execution.passes import Forward, run_forward
from graphdl.execution.plan import Plan, Step
from graphdl.graph import Key
from graphdl.operators import Operator


def infer_shapes(
    plan: Plan, inputs: Mapping[Key, Tensor], dtype: torch.dtype
) -> tuple[dict[Key, Any], dict[Key, Operator]]:
    """Return (node -> meta value, owner -> operator with its sizes), for the nodes that the inputs determine."""
    operators = {step.owner: step.operator for step in plan.steps}
    parameters: dict[Key, dict[str, Tensor]] = {}

    def sized(step: Step, xs: Sequence[Any]) -> Step | None:
        """The step with the sizes that follow from its inputs; None where these are not known."""
        if any(x is None and i != plan.absent for x, i in zip(xs, step.reads, strict=True)):
            return None
        operator = operators[step.owner]
        try:
            if not operator.complete:
                operator = operators[step.owner] = operator.infer(*[None if x is None else x.shape for x in xs])
            if step.owner not in parameters:
                parameters[step.owner] = meta_parameters(operator, dtype)
        except Exception as error:
            raise forward_failure(plan, step, xs_by_index(step, xs), {}, error) from error
        return replace(step, operator=operator)

    trace = run_forward(plan, parameters, inputs, Forward(training=True, keep_values=True, before=sized))
    found = {key: trace.values[i] for key, i in plan.index.items() if trace.values[i] is not None}
    return found, operators


def xs_by_index(step: Step, xs: Sequence[Any]) -> dict[int, Any]:
    """The inputs of a step by their indexes."""
    return dict(zip(step.reads, xs, strict=True))


def meta_parameters(operator: Operator, dtype: torch.dtype) -> dict[str, Tensor]:
    """The operator's parameters and buffers as tensors without data."""
    hollow = {
        name: torch.empty(parameter.shape, dtype=dtype, device="meta")
        for name, parameter in operator.parameters().items()
    }
    for name, buffer in operator.buffers().items():
        hollow[name] = torch.empty(buffer.shape, dtype=buffer.dtype or dtype, device="meta")
    return hollow


def require_complete(operators: Mapping[Key, Operator], missing: list[Key]) -> None:
    """Refuse to make parameters while a size is unknown."""
    for key, operator in operators.items():
        if not operator.complete:
            sizes = listing(name for name in operator.inferred if getattr(operator, name) is None)
            raise MissingInputError(
                f"{key} ({type(operator).__name__}) needs {sizes}, which follows from the shapes of the inputs: call "
                f"net.build({{{', '.join(f'{name!r}: (...)' for name in missing)}}}) with each shape, without the "
                "batch axis."
            )
