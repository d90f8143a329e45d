"""The rows on which a network is trained, their weights, and those that are held out for validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset, IterableDataset, Subset

from graphdl.arguments import new_generator
from graphdl.data import Batches
from graphdl.data.checks import common_rows
from graphdl.errors import SettingError
from graphdl.graph import sources_by_role
from graphdl.intake import holds_rows, unpacked
from graphdl.network import Network
from graphdl.settings import flag
from graphdl.training.batching import Batch, make_batches, name_data
from graphdl.training.weighting import row_weights, weighted


@dataclass(frozen=True)
class Choice:
    """Which rows of the data make a batch, and with which weights: arguments of fit.

    held_out  the share of the rows that is held out for validation
    """

    batch_size: int | None
    shuffle: bool
    generator: Generator
    seed: int | None
    drop_last: bool
    sample_weight: Any
    class_weight: Any
    validation: Any

    @property
    def by_rows(self) -> str:
        """The first argument that needs data whose rows are known, or ""."""
        given = {
            "sample_weight": self.sample_weight is not None,
            "class_weight": self.class_weight is not None,
            "validation": _is_share(self.validation),
            "drop_last": self.drop_last,
        }
        return next((name for name, wanted in given.items() if wanted), "")


@dataclass(frozen=True)
class Rows:
    """What a network is trained on.

    net         the network that is trained: the one given, or one over its tensors with weighted losses
    batches     of the training data
    validation  the validation data, and the rows of them that are used, or None for all
    """

    net: Network
    batches: Iterable[Batch]
    validation: tuple[Any, Tensor | None]


def choose_rows(net: Network, inputs: Any, targets: Any, how: Choice) -> Rows:
    """The rows on which a network is trained, and those on which it is validated.

    Raises SettingError for what needs rows and is given an iterable of batches.
    """
    flag()("fit", "drop_last", how.drop_last)
    inputs, targets = unpacked(inputs, targets)
    if not how.by_rows:
        batches = make_batches(net, inputs, targets, how.batch_size, how.shuffle, how.generator)
        return Rows(net, batches, (how.validation, None))
    if not holds_rows(inputs, targets):
        return _of_items(net, inputs, how)
    if how.batch_size is None:
        raise SettingError("batch_size is missing: give the number of rows of a batch, for example batch_size=50.")
    _, named = net.engine.prepare(name_data(net, inputs, targets), net.losses)
    count = common_rows({repr(name): tensor for name, tensor in named.items()})
    rows, held_out, validation = None, None, how.validation
    if _is_share(validation):
        rows, held_out = hold_out(count, validation, how.seed)
        validation = dict(named)
    if how.sample_weight is not None or how.class_weight is not None:
        target, ignored = _classes(net, named)
        weights = row_weights(count, how.sample_weight, how.class_weight, target, ignored, rows)
        net, named = weighted(net, named, weights)
    batches = Batches(named, how.batch_size, how.shuffle, how.generator, rows, how.drop_last)
    return Rows(net, batches, (validation, held_out))


def _of_items(net: Network, data: Any, how: Choice) -> Rows:
    """The same for a Dataset of torch, whose items can be held out and left out, but have no weights here."""
    has_weights = how.sample_weight is not None or how.class_weight is not None
    endless = isinstance(data, IterableDataset)
    if has_weights or not isinstance(data, Dataset) or (_is_share(how.validation) and endless):
        raise SettingError(f"{how.by_rows} {INSTEAD[how.by_rows]}")
    rows, validation = None, (how.validation, None)
    if _is_share(how.validation):
        rows, held_out = hold_out(len(data), how.validation, how.seed)  # type: ignore[arg-type]  # not all have a length
        validation = Subset(data, held_out.tolist()), None
    batches = make_batches(net, data, None, how.batch_size, how.shuffle, how.generator, rows, how.drop_last)
    return Rows(net, batches, validation)


def weighted_by_rows(net: Network, batches: Iterable[Batch], sample_weight: Any) -> tuple[Network, Batches]:
    """A network that takes weights of rows, and batches with them. Raises SettingError for batches of an iterable."""
    if not isinstance(batches, Batches):
        raise SettingError(f"sample_weight {INSTEAD['sample_weight']}")
    net, inputs = weighted(net, batches.inputs, row_weights(batches.rows, sample_weight))
    return net, Batches(inputs, batches.batch_size, shuffle=False)


INSTEAD = {
    "validation": "is a share of the rows, which are not known of an iterable of batches: give data.",
    "drop_last": "leaves out rows of tensors; an iterable makes its own batches: DataLoader(..., drop_last=True).",
    "sample_weight": "belongs to rows of tensors. For an iterable of batches, write Weighted(loss) in the network and "
    "give the weights in every batch, as the input that feeds its slot sample_weight.",
    "class_weight": "belongs to rows of tensors. For an iterable of batches, set class_weight of the loss: "
    "CrossEntropyLoss(class_weight=graphdl.data.class_weights(labels)).",
}


def hold_out(count: int, share: float, seed: int | None) -> tuple[Tensor, Tensor]:
    """The rows for training and those that are held out, in increasing order, on the CPU.

    They depend on nothing but the number of rows, the share and the seed, which is 0 if None is given: training that
    goes on later, or in another way, holds out the same rows.
    """
    held = round(count * share) if 0 < share < 1 else 0
    if not 0 < held < count:
        reason = f" {count} rows have no part of this size." if 0 < share < 1 else ""
        raise SettingError(
            f"validation is {share!r}:{reason} Give a share between 0 and 1 of the rows, such as 0.2, or data."
        )
    order = torch.randperm(count, generator=new_generator(0 if seed is None else seed), device="cpu")
    return order[held:].sort().values, order[:held].sort().values


def _is_share(validation: Any) -> bool:
    """Whether it is a number."""
    return isinstance(validation, (int, float)) and not isinstance(validation, bool)


def _classes(net: Network, named: Batch) -> tuple[Tensor | None, int | None]:
    """The targets of the single loss, and the class that does not count.

    (None, None) unless there is one target, and the loss judges classes.
    """
    fed = [(source, net.engine.loss(key)) for key in net.losses for source in sources_by_role(net.graph, key, "target")]
    if len(fed) != 1 or fed[0][0] not in named or fed[0][1].judged != "class":
        return None, None
    return named[fed[0][0]], fed[0][1].ignored
