"""Batches of inputs by name, from the data given to fit and evaluate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from graphdl.bundles import Bundle
from graphdl.data import Batches
from graphdl.errors import MissingInputError, SettingError, listing
from graphdl.graph import Key, sources_by_role
from graphdl.intake import holds_rows, is_array, loaded, unpacked
from graphdl.network import Network

Batch: TypeAlias = Mapping[Key, Tensor]

END = object()

ALL_ROWS = 2**62
"""More rows than any data have."""


def make_batches(
    net: Network,
    inputs: Any,
    targets: Any,
    batch_size: int | None,
    shuffle: bool = False,
    generator: Generator | None = None,
    chosen: Tensor | None = None,
    drop_last: bool = False,
) -> Iterable[Batch]:
    """Batches from data by name, data with their targets, a data set of torch, or an iterable of batches.

    Each holds the tensors that the losses need, on the network's device; sizes that were left out are inferred from the
    first one. `chosen` holds the indices of the rows of tensors that are used, in place of all. Raises
    MissingInputError, UnknownNodeError or SettingError for data that do not fit the network.
    """
    inputs, targets = unpacked(inputs, targets)
    if holds_rows(inputs, targets):
        if batch_size is None:
            raise SettingError("batch_size is missing: give the number of rows of a batch, for example batch_size=50.")
        _, named = net.engine.prepare(name_data(net, inputs, targets), net.losses)
        return Batches(named, batch_size, shuffle, generator, chosen, drop_last)
    if targets is not None:
        raise SettingError(
            "targets are only taken with rows, in tensors, arrays, tables or lists: batches and data sets hold their "
            "targets."
        )
    batches = loaded(inputs, batch_size, shuffle, generator, drop_last, chosen)
    if not isinstance(batches, Iterable):
        raise SettingError(
            f"inputs is a {type(inputs).__name__}: give a dict of tensors, a tensor with targets, or an iterable of "
            "batches."
        )
    return NamedBatches(net, batches)


def whole_batch(owner: str, net: Network, inputs: Any, targets: Any) -> Batch:
    """Data as one batch, which `owner` takes. Raises SettingError for several batches."""
    batches = list(make_batches(net, inputs, targets, ALL_ROWS))
    if len(batches) != 1:
        raise SettingError(f"{owner} takes a whole data set as one batch, and inputs has {len(batches)}.")
    return batches[0]


class NamedBatches:
    """An iterable of batches, each a dict of tensors or a pair (input, target), with their tensors by name.

    look  is called with the first batch, before it is used
    """

    def __init__(self, net: Network, batches: Iterable[Any], look: Callable[[Batch], None] | None = None) -> None:
        self._net, self._batches, self._look = net, batches, look
        self.once = iter(batches) is batches

    def looked_at(self, look: Callable[[Batch], None]) -> NamedBatches:
        """The same batches; `look` is called with the first one."""
        return NamedBatches(self._net, self._batches, look)

    def __iter__(self) -> Iterator[Batch]:
        """Each batch as {name: tensor}. The iterable itself runs outside inference mode."""
        with torch.inference_mode(False):
            batches = iter(self._batches)
        while True:
            with torch.inference_mode(False):
                batch = next(batches, END)
            if batch is END:
                return
            if isinstance(batch, (tuple, list)) and len(batch) in (1, 2):
                batch = name_data(self._net, *batch, *[None] * (2 - len(batch)))
            elif isinstance(batch, Tensor):
                batch = name_data(self._net, batch, None)
            elif not isinstance(batch, Mapping):
                found = f"{type(batch).__name__} of {len(batch)}" if hasattr(batch, "__len__") else type(batch).__name__
                raise SettingError(
                    f"A batch must be a dict {{input: tensor}}, a pair (input, target) or a tensor, not a {found}."
                )
            named = self._net.engine.prepare(batch, self._net.losses)[1]
            if self._look is not None:
                look, self._look = self._look, None
                look(named)
            yield named


def bundles_of(batches: Iterable[Batch]) -> Iterator[Bundle]:
    """Batches of equal shapes together; batches of other iterables come one by one."""
    if isinstance(batches, Batches):
        yield from batches.bundles()
    else:
        for batch in batches:
            yield Bundle({name: tensor[None].contiguous() for name, tensor in batch.items()})


def repeatable(what: str, batches: Iterable[Batch], epochs: int) -> Iterable[Batch]:
    """Raise SettingError if the batches can be iterated only once and there are several epochs."""
    if isinstance(batches, NamedBatches) and batches.once and epochs > 1:
        raise SettingError(
            f"{what} can be iterated only once, but epochs is {epochs}: give a list of batches or a data loader."
        )
    return batches


def unpack_validation(validation: Any) -> tuple[Any, Any]:
    """Validation data as (inputs, targets), where targets is None if the data hold them."""
    inputs, targets = unpacked(validation)
    if targets is not None or inputs is not validation:
        return inputs, targets
    if isinstance(validation, tuple) and len(validation) == 2 and not isinstance(validation[1], Mapping):
        return validation[0], validation[1]
    forms = "a pair (inputs, targets), a dict of tensors, or an iterable of batches"
    if isinstance(validation, str):
        raise SettingError(f"validation is the string {validation!r:.100}: give a number such as 0.2, the share of the "
                           f"rows that is held out; or {forms}.")  # fmt: skip
    if isinstance(validation, (tuple, list)) and any(map(is_array, validation)):
        raise SettingError(f"validation is a {type(validation).__name__} of {len(validation)} tensors: give {forms}.")
    if not isinstance(validation, (Iterable, Dataset)):
        raise SettingError(
            f"validation is {validation!r:.100}: give {forms}. graphdl.data.split divides data into parts."
        )
    return validation, None


def _needed(net: Network) -> dict[Key, int]:
    return net.engine.plan(net.losses).inputs


def name_data(net: Network, inputs: Any, targets: Any) -> dict[Key, Any]:
    """The data by name, even where one input or one target was given without a name."""
    if targets is None and isinstance(inputs, Mapping):
        return dict(inputs)
    fed = dict.fromkeys(source for loss in net.losses for source in sources_by_role(net.graph, loss, "target"))
    target_names = [name for name in fed if name in _needed(net)]
    named: dict[Key, Any] = {}
    if targets is not None:
        if len(target_names) != 1:
            raise MissingInputError(
                f"targets were given, but {len(target_names)} inputs feed the targets of losses: "
                f"{listing(map(repr, target_names)) or 'none'}. Give all inputs by name: {{name: tensor}}."
            )
        if isinstance(inputs, Mapping) and target_names[0] in inputs:
            raise SettingError(
                f"The target {target_names[0]!r} was given twice, in inputs and as targets: leave one of them out."
            )
        named[target_names[0]] = targets
    if isinstance(inputs, Mapping):
        return {**inputs, **named}
    free = [name for name in _needed(net) if name not in named]
    if len(free) != 1:
        raise MissingInputError(
            f"One tensor was given as inputs, but the network needs {len(free)}: {listing(map(repr, free)) or 'none'}. "
            "Give a dict from their names to tensors, or targets in addition to the one input."
        )
    return {free[0]: inputs, **named}
