"""What a network refuses before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch

from graphdl.errors import SettingError, ShapeError, UnknownNodeError, did_you_mean
from graphdl.execution.diagnosis import fits, shape_of
from graphdl.execution.inputs import to_tensor
from graphdl.execution.plan import Plan
from graphdl.graph import Key, Shared
from graphdl.operators import Operator

Device: TypeAlias = str | torch.device


def check_operators(operators: Mapping[Key, object]) -> None:
    """Refuse what is no operator; a class without its parentheses is the likely slip."""
    for key, operator in operators.items():
        if isinstance(operator, type):
            raise SettingError(f"operators[{key!r}] is the class {operator.__name__}: write {operator.__name__}(...).")
        if not isinstance(operator, (Operator, Shared)):
            kind = f"{type(operator).__module__}.{type(operator).__qualname__}".removeprefix("builtins.")
            raise SettingError(
                f"operators[{key!r}] is a {kind}: a node computes a graphdl.Operator, such as Linear(2, 25), or is "
                "Shared(...)."
            )


def new_generator(seed: object) -> torch.Generator:
    """A random generator on the CPU; without a seed it takes one from torch's global generator."""
    if seed is None:
        seed = int(torch.randint(2**62, (), device="cpu"))
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise SettingError(f"seed is an int, or None, not {seed!r}.")
    try:
        return torch.Generator("cpu").manual_seed(seed)
    except (RuntimeError, ValueError, OverflowError):
        raise SettingError(f"seed is an int of 64 bits, not {seed}.") from None


def usable_device(device: Device) -> torch.device:
    """The device, once it has been seen to hold a tensor."""
    try:
        return torch.zeros((), device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise SettingError(
            f'device={device!r} cannot be used: {str(error).splitlines()[0].rstrip(".")}. Take "cpu", or "cuda" where '
            "torch.cuda.is_available()."
        ) from None


def floating_type(dtype: object) -> torch.dtype:
    """A floating-point type."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise SettingError(f"dtype is the floating-point type of the parameters, such as torch.float64, not {dtype!r}.")
    return dtype


def check_starts(
    plan: Plan, values: list[Any], gradients: Mapping[Key, Any], device: torch.device, dtype: torch.dtype
) -> dict[int, Any]:
    """Index -> the gradient given for a node, which must be like the node's value."""
    if not isinstance(gradients, Mapping):
        raise SettingError(
            f"backward takes the gradients to start from by node, {{node: gradient}}, not {gradients!r}."
        )
    starts = {}
    for key, gradient in gradients.items():
        if key not in plan.index:
            raise UnknownNodeError(f"backward: {key!r} is no node of the network.{did_you_mean(key, plan.index)}")
        i = plan.index[key]
        if not isinstance(gradient, tuple):
            gradient = to_tensor(gradient, f"The gradient of {key!r}", device, dtype)
        if not fits(gradient, values[i]):
            raise ShapeError(
                f"backward: the value of {key} has the shape {shape_of(values[i])}, and the gradient given "
                f"{shape_of(gradient)}."
            )
        starts[i] = gradient
    return starts
