"""What diagrams and summaries show of each node of a network."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import GraphDLError
from graphdl.execution.engine import Engine
from graphdl.graph import Key, without_inputs
from graphdl.operators import Loss, Operator
from graphdl.rendering import NodeFacts

TYPES = {
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.float32: "f32",
    torch.float64: "f64",
    torch.bool: "bool",
    torch.uint8: "u8",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
}


def node_facts(engine: Engine) -> dict[Key, NodeFacts]:
    """The facts about every node, and about every input that has no node, under its name if no node has that name.

    Shapes are those of the last pass, for the nodes that its inputs determine.
    """
    inputs = engine.known_inputs()
    values: Mapping[Key, Any] = {}
    with contextlib.suppress(GraphDLError):  # shapes that no longer fit are left out
        values = engine.infer(inputs)
    facts: dict[Key, NodeFacts] = {}
    constant = without_inputs(engine.graph, engine.order)
    for key, node in engine.graph.nodes(data=True):
        value = values.get(key)
        shape, dtype = _shape_and_type(value, batched=key not in constant)
        if node["operator"] is None:
            facts[key] = NodeFacts("input", shape=shape, dtype=dtype)
            continue
        owner: Key = node["owner"]
        operator = engine.operators[owner]
        facts[key] = NodeFacts(
            kind="loss" if isinstance(operator, Loss) else "operator",
            operator=type(operator).__name__,
            family=operator.family,
            settings=operator.describe(),
            parameters=count_parameters(operator),
            shares=None if owner == key else owner,
            frozen=owner in engine.frozen,
            shape=shape,
            batched=key not in constant,
            shapes=tuple(_shape(element, key not in constant) for element in _elements(value)),
        )
    for name, tensor in inputs.items():
        if name not in facts:
            shape, dtype = _shape_and_type(tensor)
            facts[name] = NodeFacts("input", shape=shape, dtype=dtype)
    return facts


def count_parameters(operator: Operator) -> int:
    """The number of elements of the parameters of an operator; 0 while its sizes are unknown."""
    if not operator.complete:
        return 0
    return sum(torch.Size(parameter.shape).numel() for parameter in operator.parameters().values())


def _elements(value: Any) -> list[Tensor]:
    """The tensors of a tuple of outputs."""
    return [element for element in value if isinstance(element, Tensor)] if isinstance(value, tuple) else []


def _shape(value: Tensor, batched: bool) -> tuple[int, ...]:
    """The shape without the batch axis."""
    return tuple(value.shape[1:] if batched else value.shape)


def _shape_and_type(value: Any, batched: bool = True) -> tuple[tuple[int, ...] | None, str]:
    """The shape without the batch axis and the short name of the dtype; (None, "") for a tuple of outputs."""
    if not isinstance(value, Tensor):
        return None, ""
    return _shape(value, batched), TYPES.get(value.dtype, str(value.dtype).removeprefix("torch."))
