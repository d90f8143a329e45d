"""The data of many networks: they are held in memory once, and every member gathers its rows by index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy
import torch
from torch import Tensor

from graphdl.arguments import to_tensor
from graphdl.errors import SettingError, ShapeError
from graphdl.execution.targets import check_targets
from graphdl.graph import Key
from graphdl.intake import holds_rows, unpacked
from graphdl.network import Network
from graphdl.training.batching import name_data, unpack_validation


class SharedData:
    """A data set that many networks use, in the forms that fit takes: {name: tensor or array}, or inputs and targets.

    Each tensor is converted once for each type and device. Raises SettingError for an iterable of batches.
    """

    def __init__(self, what: str, inputs: Any, targets: Any = None) -> None:
        inputs, targets = unpacked(inputs, targets)
        if not holds_rows(inputs, targets):
            raise SettingError(
                f"{what} must be tensors: a dict {{name: tensor}}, or a tensor with targets, not a "
                f"{type(inputs).__name__}. Many networks read their rows by index, so batches cannot be given."
            )
        self._inputs, self._targets = inputs, targets
        self._converted: dict[tuple[int, torch.device, torch.dtype], tuple[Any, Tensor]] = {}
        self._named: WeakKeyDictionary[Network, tuple[int, dict[Key, Tensor]]] = WeakKeyDictionary()

    @classmethod
    def validation(cls, data: Any) -> SharedData:
        """Validation data, in the forms that fit takes."""
        return cls("validation", *unpack_validation(data))

    def named(self, net: Network) -> dict[Key, Tensor]:
        """What the losses of a network need, by name. Sizes that were left out are inferred."""
        version, named = self._named.get(net, (-1, {}))
        if version != net.engine.version:
            given = name_data(net, self._inputs, self._targets)
            shared = {name: self._tensor(name, value, net) for name, value in given.items()}
            named = net.engine.prepare(shared, net.losses)[1]
            if not self._named:
                check_targets(net.graph, net.losses, named)
            self._named[net] = net.engine.version, named
        return named

    def rows(self, net: Network, chosen: Tensor | None = None) -> int:
        """The number of rows, or of those that are chosen."""
        return len(next(iter(self.named(net).values()))) if chosen is None else len(chosen)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that networks were given so far."""
        return [tensor for _, tensor in self._converted.values()]

    def _tensor(self, name: Key, value: Any, net: Network) -> Tensor:
        key = id(value), net.device, net.dtype
        if key not in self._converted:  # the value is kept too, so that no other object takes its id
            converted = to_tensor(value, f"The input {name!r}", net.device, net.dtype)
            self._converted[key] = value, converted.contiguous()
        return self._converted[key][1]


def per_member(what: str, given: Any, count: int, kind: type) -> list[Any]:
    """One value for each member: those of a list, or the same for all. Raises SettingError for another length."""
    if isinstance(given, kind) or given is None:
        return [given] * count
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise SettingError(f"{what} must be one for all networks, or a list of one for each, not {given!r:.200}.")
    if len(given) != count:
        raise SettingError(f"{what} has {len(given)} entries, but there are {count} networks: give one for each.")
    return list(given)


def rows_per_member(what: str, given: Any, count: int) -> list[Tensor | None]:
    """The row indices of each member, (m,) int64; None for all rows."""
    if given is None:
        return [None] * count
    flat = isinstance(given, (Tensor, numpy.ndarray)) and given.ndim != 2
    if flat or isinstance(given, str) or not isinstance(given, Iterable):
        raise SettingError(f"{what} must be a list with the row indices of each network, not {given!r:.100}.")
    listed = list(given)
    if len(listed) != count:
        raise SettingError(f"{what} has {len(listed)} entries, but there are {count} networks: give one for each.")
    return [None if rows is None else _indices(f"{what}[{k}]", rows) for k, rows in enumerate(listed)]


def _indices(what: str, rows: Any) -> Tensor:
    try:
        indices = torch.as_tensor(rows if isinstance(rows, Tensor) else numpy.asarray(rows), device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(f"{what} must hold row indices, not {rows!r:.100}.") from None
    if indices.dtype == torch.bool:
        indices = indices.nonzero()[:, 0] if indices.dim() == 1 else indices
    if indices.dim() == 1 and not len(indices):
        raise ShapeError(f"{what} is empty: give at least one row.")
    if indices.dim() != 1 or indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise SettingError(f"{what} must hold row indices (m,), not {indices.dtype} of shape {tuple(indices.shape)}.")
    return indices.long().contiguous()


def check_rows(what: str, rows: Tensor | None, held: int) -> None:
    """Raise ShapeError unless all rows are from 0 to held - 1."""
    if rows is None:
        return
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= held:
        raise ShapeError(f"{what} holds the row {low if low < 0 else high}, but the data have rows 0 to {held - 1}.")
