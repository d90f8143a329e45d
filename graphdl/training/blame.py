"""What made a loss infinite or not a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.execution.passes import Forward, run_forward
from graphdl.graph import Key
from graphdl.network import Network


def blame(net: Network, inputs: Mapping[Key, Tensor], loss: float) -> str:
    """Name what first became infinite or not a number: an input, a parameter, or the node that computed it."""
    text = f"The loss is {loss}"
    for name, tensor in inputs.items():
        if not torch.isfinite(tensor).all():
            return f"{text}: the input {name!r} holds numbers that are not finite. Clean the data."
    for name, tensor in net.parameters.items():
        if not torch.isfinite(tensor).all():
            return (
                f"{text}: the parameter {name} is not finite any more, since its gradient overflowed in an earlier "
                "step. Lower the learning rate or scale the data."
            )
    plan = net.engine.plan(net.losses)
    copies = {node: {name: t.clone() for name, t in held.items()} for node, held in net.engine.store.by_node.items()}
    trace = run_forward(plan, copies, inputs, Forward(training=True, keep_values=True, saving=()))
    for step in plan.steps:
        if not _finite(trace.values[step.writes]):
            return (
                f"{text}: {step.key} ({type(step.operator).__name__}) is the first node whose value is not finite, "
                "from finite inputs. The parameters are as they were before this step. Lower the learning rate, "
                "scale the data, or look at what this node computes."
            )
    return f"{text}: every node is finite when computed again; an operator draws random numbers."


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_finite(element) for element in value)
    return bool(torch.isfinite(value).all())
