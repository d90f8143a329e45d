"""Data sets: pairs, the data sets of scikit-learn, and those of torch with their loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy
import torch
from numpy import ndarray
from torch import Generator, Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from graphdl.errors import SettingError
from graphdl.intake.arrays import is_array_like
from graphdl.intake.frames import is_frame


def is_array(value: object) -> bool:
    """Whether it holds numbers by rows: a tensor, an array, a table, or nested lists of numbers."""
    if isinstance(value, (Tensor, numpy.ndarray)) or is_frame(value) or hasattr(value, "toarray"):
        return True
    if isinstance(value, (list, tuple)):
        return bool(value) and (_is_scalar(value[0]) or (_is_list(value[0]) and is_array(value[0])))
    return is_array_like(value) and not isinstance(value, numpy.generic)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _is_scalar(value: object) -> bool:
    """Whether it is a number, or what may stand in the place of one."""
    plain = isinstance(value, (int, float, complex, str, numpy.generic)) or value is None
    return plain or (isinstance(value, Tensor) and not value.dim())


def unpacked(inputs: Any, targets: Any = None) -> tuple[Any, Any]:
    """(inputs, targets) of a pair of arrays, of a Bunch of scikit-learn, or of a TensorDataset of torch.

    Everything else, and inputs that are given with targets, are returned as they are.
    """
    if targets is not None:
        return inputs, targets
    if isinstance(inputs, TensorDataset):
        if len(inputs.tensors) > 2:
            raise SettingError(
                f"A TensorDataset of {len(inputs.tensors)} tensors does not name them: give a dict {{name: tensor}}."
            )
        inputs = inputs.tensors if len(inputs.tensors) == 2 else inputs.tensors[0]
    if type(inputs).__name__ == "Bunch" and isinstance(inputs, Mapping) and {"data", "target"} <= inputs.keys():
        return inputs["data"], inputs["target"]
    if isinstance(inputs, tuple) and len(inputs) == 2 and is_array(inputs[0]) and is_array(inputs[1]):
        return inputs
    return inputs, None


def holds_rows(inputs: object, targets: object = None) -> bool:
    """Whether data are rows, and not an iterable of batches. A list of arrays with targets in addition is rows."""
    if isinstance(inputs, Mapping) or is_array(inputs):
        return True
    return targets is not None and isinstance(inputs, list) and not any(map(_is_batch, inputs[:1]))


def _is_batch(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and any(isinstance(each, (Tensor, ndarray)) for each in value)
    )


def loaded(
    data: Any, batch_size: int | None, shuffle: bool, generator: Generator | None, drop_last: bool, rows: Any = None
) -> Any:
    """A loader of a Dataset of torch, which reads its items as they are needed; other iterables as they are.

    rows  the items that are used, in place of all
    """
    if not isinstance(data, Dataset):
        return data
    if batch_size is None:
        raise SettingError("batch_size is missing: give the number of items of a batch, for example batch_size=50.")
    if isinstance(data, IterableDataset):
        return DataLoader(data, batch_size, drop_last=drop_last)
    used: Dataset[Any] = data if rows is None else Subset(data, rows.tolist())
    return DataLoader(used, batch_size, shuffle=shuffle, generator=generator, drop_last=drop_last)


def inputs_alone(data: Any) -> Any:
    """The inputs of a Bunch of scikit-learn or a TensorDataset of torch; other data as they are."""
    return unpacked(data)[0] if isinstance(data, (Mapping, TensorDataset)) else data


def input_batches(data: Any, batch_size: int = 1024) -> Iterator[Any] | None:
    """The inputs of the batches of a list, or of a data set or a loader of torch; None for other data.

    They are the first of each pair (input, target). Raises SettingError for a loader that shuffles.
    """
    listed = isinstance(data, list) and not is_array(data) and _holds_batches(data)
    if isinstance(data, TensorDataset) or not (listed or isinstance(data, (Dataset, DataLoader))):
        return None
    if isinstance(data, DataLoader):
        _refuse_shuffled(data)
    batches: Iterable[Any] = loaded(data, batch_size, shuffle=False, generator=None, drop_last=False)
    return (batch[0] if isinstance(batch, (tuple, list)) and len(batch) in (1, 2) else batch for batch in batches)


def _holds_batches(data: list[Any]) -> bool:
    """Whether a list holds dicts, or pairs of arrays that are not all of one shape, and so cannot be rows.

    Raises SettingError for tuples of arrays of one shape, which may be either.
    """
    if not data or isinstance(data[0], Mapping):
        return bool(data)
    if not all(map(_is_pair, data)):
        return False
    shapes = {tuple(array.shape) for pair in data for array in pair}
    if len(shapes) == 1 and isinstance(data[0], tuple):
        raise SettingError(
            f"inputs is a list of tuples of arrays of one shape, {shapes.pop()}, which may be rows or pairs (input, "
            "target): give batches as dicts {input: array}, or rows as one array, numpy.stack([...])."
        )
    return len(shapes) > 1


def _is_pair(value: object) -> bool:
    """Whether it may be a batch (input, target) or (input,): arrays with the same number of rows."""
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 2):
        return False
    return all(isinstance(each, (Tensor, ndarray)) and each.ndim for each in value) and len(value[0]) == len(value[-1])


RANDOM = RandomSampler, SubsetRandomSampler, WeightedRandomSampler


def _refuse_shuffled(loader: DataLoader[Any]) -> None:
    """Raise SettingError if a loader draws its rows at random: predictions would be in an unknown order."""
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        if isinstance(sampler, RANDOM):
            raise SettingError(
                f"The DataLoader draws its rows in random order ({type(sampler).__name__}), so predictions would not "
                "be in the order of the data: give DataLoader(..., shuffle=False)."
            )


def joined(parts: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Node -> its values on several batches, one after another. Raises SettingError for values without rows."""
    if not parts:
        raise SettingError("The data have no batches: there is nothing to predict.")
    for key, value in parts[0].items():
        if not isinstance(value, Tensor) or not value.dim():
            found = "a tuple" if isinstance(value, tuple) else "one number for each batch"
            raise SettingError(f"The value of {key!r} is {found}, and cannot be joined over batches: give a tensor.")
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
