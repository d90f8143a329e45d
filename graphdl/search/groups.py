"""Groups of members whose steps are the same calls on tensors of the same shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import Any

from torch import Tensor

from graphdl.graph import Block, Shared
from graphdl.initializers import Zeros
from graphdl.network import Network
from graphdl.operators import Loss, Operator
from graphdl.optim import Optimizer
from graphdl.optim.schedules import Schedule
from graphdl.search.member import Member, Recipe
from graphdl.search.shared import SharedData
from graphdl.settings import MOST_CLASSES


def grouped(members: Iterable[Member], recipe: Recipe, data: SharedData) -> list[list[Member]]:
    """The members by structure, groups and members in the order in which they come."""
    groups: dict[Hashable, list[Member]] = {}
    for member in members:
        groups.setdefault(structure_of(member, recipe, data), []).append(member)
    return list(groups.values())


def structure_of(member: Member, recipe: Recipe, data: SharedData) -> Hashable:
    """What the steps of a member depend on besides numbers that may differ between members.

    Operators and their settings, connectivity, shapes and types of parameters and batches, frozen nodes and the kind of
    optimizer. Initial parameters, weights of losses, seeds, rows and the optimizer's numbers may differ.
    """
    named = data.named(member.net)
    return (
        structure_of_network(member.net),
        structure_of_optimizer(member.optimizer),
        tuple((type(penalty), penalty.nodes, bool(penalty.strength)) for penalty in member.penalties),
        tuple((name, layout_of(tensor)) for name, tensor in named.items()),
        min(recipe.batch_size, data.rows(member.net, member.rows)),
    )


def layout_of(tensor: Tensor) -> Hashable:
    """Shape of a row, type and device."""
    return tuple(tensor.shape[1:]), tensor.dtype, tensor.device


def structure_of_network(net: Network) -> Hashable:
    """Operators, connectivity, tensors, type, device and frozen nodes."""
    return (
        tuple((key, _operator(operator)) for key, operator in net.operators.items()),
        tuple((key, repr(feeds)) for key, feeds in net.connectivity.items()),
        tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in (net.parameters | net.buffers).items()),
        net.device,
        net.engine.frozen,
        net.outputs,
    )


def _operator(operator: Operator | Shared | Block) -> Hashable:
    """The class and the settings that its calls depend on. An initializer is used before training only."""
    if isinstance(operator, Block):
        inner = tuple((key, _operator(each)) for key, each in operator.operators.items())
        return inner, tuple(operator.connectivity.items()), operator.inputs, operator.outputs
    if not dataclasses.is_dataclass(operator):
        return type(operator), id(operator)
    kind: Any = type(operator)
    held: dict[str, object] = {}
    for name, takes_initializer in _settings(kind):
        value = getattr(operator, name)
        held[name] = value is not False if takes_initializer else value
    if isinstance(operator, Loss):
        held.pop("weight", None)
    return kind, repr(held)


@lru_cache(maxsize=MOST_CLASSES)
def _settings(kind: type[Any]) -> list[tuple[str, bool]]:
    """The names of the settings of a class of operators, and whether each may be an initializer."""
    checks = {field.name: field.metadata.get("check") for field in dataclasses.fields(kind)}
    return [(name, check is not None and check.holds(Zeros())) for name, check in checks.items()]


def structure_of_optimizer(optimizer: Optimizer) -> Hashable:
    """The class, and its settings but for the numbers. A formula may branch on whether a number is 0."""
    held = {field.name: getattr(optimizer, field.name) for field in dataclasses.fields(optimizer)}
    nodes = held.pop("nodes")
    chosen = tuple((key, tuple((name, _setting(value)) for name, value in each.items())) for key, each in nodes.items())
    return type(optimizer), tuple((name, _setting(value)) for name, value in held.items()), chosen


def _setting(value: Any) -> Hashable:
    if isinstance(value, Schedule):
        return "number"
    if isinstance(value, tuple):
        return tuple(map(_setting, value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number" if value else 0
    return repr(value)
