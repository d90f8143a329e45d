"""What the fast ways of making a step need to know of an operator, derived from its class."""

from __future__ import annotations

from functools import cache

from graphdl import operators
from graphdl.operators import Operator

OWN_MEMORY = (
    operators.Linear,
    operators.Conv2d,
    operators.Embedding,
    operators.Sum,
    operators.BatchNorm1d,
    operators.BatchNorm2d,
    operators.LayerNorm,
)


@cache
def calls_torch_only(operator: type[Operator]) -> bool:
    """Whether the passes only call torch functions: those of graphdl do, and those of classes that say `recordable`."""
    passes = (getattr(operator, name) for name in ("forward", "backward", "draw"))
    package = operators.__name__ + "."
    return all(function.__module__.startswith(package) for function in passes) or bool(
        vars(operator).get("recordable", False)
    )


@cache
def owns_output(operator: type[Operator]) -> bool:
    """Whether the output is a tensor with memory of its own, which nothing that is saved shares."""
    return issubclass(operator, OWN_MEMORY) and operator.forward.__module__.startswith(operators.__name__ + ".")
