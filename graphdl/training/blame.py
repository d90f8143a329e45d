"""The cause of a loss that is infinite or not a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.execution.passes import Forward, run_forward
from graphdl.graph import Key, sources_by_role
from graphdl.network import Network
from graphdl.operators import Loss


def blame(net: Network, inputs: Mapping[Key, Tensor], loss: float) -> str:
    """Describe the first value that is infinite or nan: an input, a parameter, or the value of a node."""
    text = f"The loss is {loss}"
    for name, tensor in inputs.items():
        if tensor.shape[:1] == (0,):
            return f"{text}: the batch has no rows of the input {name!r}. Leave empty batches out."
        if not torch.isfinite(tensor).all():
            return f"{text}: the input {name!r} has values that are not finite. Clean the data."
    for name, tensor in net.parameters.items():
        if not torch.isfinite(tensor).all():
            return (
                f"{text}: the parameter {name} is not finite: its gradient overflowed in an earlier step, or data of "
                "that step were infinite. Lower the learning rate, scale or clean the data."
            )
    plan = net.engine.plan(net.losses)
    copies = {node: {name: t.clone() for name, t in held.items()} for node, held in net.engine.store.by_node.items()}
    trace = run_forward(plan, copies, inputs, Forward(training=True, keep_values=True, saving=()))
    for step in plan.steps:
        if not _finite(trace.values[step.writes]):
            if ignored := _all_ignored(net, step.key, inputs):
                return f"{text}: {ignored}"
            return (
                f"{text}: {step.key} ({type(step.operator).__name__}) is the first node whose value is not finite, "
                "although its inputs are. The parameters are as they were before this step. Lower the learning rate, "
                "scale the data, or check what this node computes."
            )
    return f"{text}, but every value is finite when computed again: an operator draws random numbers."


def _all_ignored(net: Network, key: Key, inputs: Mapping[Key, Tensor]) -> str:
    """The text for a loss that leaves out every row of a batch."""
    operator = net.graph.nodes[key]["operator"]
    if not isinstance(operator, Loss) or operator.ignored is None:
        return ""
    for name in sources_by_role(net.graph, key, "target"):
        if name in inputs and bool((inputs[name] == operator.ignored).all()):
            return (
                f"all labels of {name!r} in this batch are {operator.ignored}, which is ignore_index of {key} "
                f"({type(operator).__name__}), and the mean over no row is not a number. Make the batches larger, "
                "leave such rows out, or use reduction='sum'."
            )
    return ""


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_finite(element) for element in value)
    return bool(torch.isfinite(value).all())
