"""The walks of a plan, in a short form for tests."""

from dataclasses import dataclass
from typing import Any

from graphdl.execution.passes import Backward, Forward, run_backward, run_forward
from graphdl.execution.training_passes import ParameterGradients


@dataclass
class Found:
    """The gradients of the values by index, and of the parameters by node."""

    values: list[Any]
    parameters: dict[Any, Any]


def walk_forward(plan, parameters, inputs, **how):
    return run_forward(plan, parameters, inputs, Forward(**{"training": True, **how}))


def walk_backward(plan, parameters, trace, starts, **how):
    gathered = ParameterGradients(plan, parameters)
    return Found(run_backward(plan, parameters, trace, starts, Backward(gathered, **how)), gathered.by_node)
