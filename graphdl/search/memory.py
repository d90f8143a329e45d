"""The memory that training takes, so that as many members are trained at once as a budget allows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphdl.data.checks import whole_number
from graphdl.errors import GraphDLError, SettingError
from graphdl.optim.writing import initial_state
from graphdl.search.member import Member, Recipe
from graphdl.search.shared import SharedData
from graphdl.training.epochs import ROWS_AHEAD, STEPS_AHEAD


def state_of_optimizer(member: Member) -> Sequence[Tensor]:
    """The state that a member's optimizer has in training; if it couples all parameters, as tensors without data.

    Raises SettingError if that takes more memory than the optimizer allows.
    """
    engine, optimizer = member.net.engine, member.optimizer
    if not optimizer.joint:
        return optimizer.bind(member.net).memory()[0]
    owners = engine.backward_plan(engine.plan(engine.losses), engine.losses).owners
    count = sum(extent.stop - extent.start for run in engine.store.runs(owners) for extent in run)
    return initial_state(optimizer, torch.empty(count, dtype=engine.dtype, device="meta"))


class Budget:
    """A number of bytes for data, networks and training; None is without limit.

    Raises SettingError if data, networks and one member in training need more.

    halving  whether members keep their optimizer's state while others train
    """

    def __init__(
        self, memory: int | None, members: Sequence[Member], recipe: Recipe, data: Sequence[SharedData], halving: bool
    ) -> None:
        self._free: int | None = None
        self._recipe, self._data, self._halving = recipe, data[0], halving
        if memory is None:
            return
        memory = whole_number("memory", memory, least=1)
        tensors = {tensor.data_ptr(): tensor.nbytes for each in data for tensor in each.tensors}
        networks = sum(member.net.engine.store.flat.nbytes for member in members)
        most = max(map(self._needs, members))
        waiting = sum(map(self._keeps, members)) if halving else 0
        self._free = memory - sum(tensors.values()) - networks - waiting
        if self._free < most:
            raise SettingError(
                f"memory is {memory} bytes, but at least {memory - self._free + most} are needed: "
                f"{sum(tensors.values())} for the data, {networks + waiting} for the networks and {most} to train one."
            )

    def chunks(self, group: Sequence[Member]) -> list[Sequence[Member]]:
        """The members of a group in parts that are trained at once."""
        size = len(group) if self._free is None else max(1, self._free // self._needs(group[0]))
        return [group[k : k + size] for k in range(0, len(group), size)]

    def _keeps(self, member: Member) -> int:
        """The optimizer's state, and a copy of parameters and buffers, which a member keeps from epoch to epoch."""
        net = member.net
        tensors = [*state_of_optimizer(member), net.engine.store.flat, *net.buffers.values()]
        return sum(tensor.nbytes for tensor in tensors)

    def _needs(self, member: Member) -> int:
        """What training a member takes in addition to its network and the data: copies to go back to as well."""
        net, named = member.net, self._data.named(member.net)
        try:
            batch = {name: tensor[: self._recipe.batch_size] for name, tensor in named.items()}
            cost = net.cost(batch, member.optimizer)
        except GraphDLError as error:
            raise SettingError(f"memory: what a step takes cannot be planned. {error}") from error
        indices = 8 * min(ROWS_AHEAD, STEPS_AHEAD * self._recipe.batch_size)
        return cost.held + cost.peak + self._keeps(member) + indices
