"""Shapes and left-out sizes, found by running the operators on meta tensors: nothing is computed or allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, listing
from graphdl.execution.diagnosis import forward_failure
from graphdl.execution.passes import Forward, compute
from graphdl.execution.plan import Plan, Step
from graphdl.graph import Key
from graphdl.operators import Operator

TRAINING = Forward(training=True, keep_values=True)


def infer_shapes(
    plan: Plan, inputs: Mapping[Key, Tensor], dtype: torch.dtype
) -> tuple[dict[Key, Any], dict[Key, Operator]]:
    """Return (node -> meta value, owner -> operator with its sizes), for the nodes that the inputs determine.

    Equal operators run once for inputs of equal shapes, because torch is slow on tensors without data.
    """
    operators = {step.owner: step.operator for step in plan.steps}
    values: list[Any] = [None] * plan.size
    for name, i in plan.inputs.items():
        values[i] = inputs.get(name)
    outputs: dict[object, Any] = {}
    for step in plan.steps:
        xs = [values[i] for i in step.reads]
        if any(x is None and i != plan.absent for x, i in zip(xs, step.reads, strict=True)):
            continue
        step = replace(step, operator=operators[step.owner])
        p: dict[str, Tensor] = {}
        try:
            if not step.operator.complete:
                operators[step.owner] = step.operator.infer(*[None if x is None else x.shape for x in xs])
                step = replace(step, operator=operators[step.owner])
            call = _call(step, xs)
            if call not in outputs:
                p = meta_parameters(step.operator, dtype)
                outputs[call] = compute(step, p, xs, TRAINING)[0]
        except Exception as error:
            raise forward_failure(plan, step, values, p, error) from error
        values[step.writes] = outputs[call]
    return {key: values[i] for key, i in plan.index.items() if values[i] is not None}, operators


def _call(step: Step, xs: Sequence[Any]) -> object:
    """What the shape of an output depends on; a custom operator may keep something from call to call."""
    kind = type(step.operator)
    if not kind.__module__.startswith("graphdl."):
        return object()
    return kind, _likeness(tuple(vars(step.operator).values())), step.frozen, _likeness(tuple(xs))


def _likeness(value: Any) -> object:
    """A tensor without its data, a number with its type, another object itself."""
    if isinstance(value, tuple):
        return tuple(map(_likeness, value))
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    return type(value), value if isinstance(value, (int, float, str)) else id(value)


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
