"""What a caller gives as inputs -> the tensors that a pass needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy
import torch
from torch import Tensor

from graphdl.errors import MissingInputError, SettingError, UnknownNodeError, did_you_mean, listing
from graphdl.graph import Key


def gather_inputs(
    given: object,
    needed: Collection[Key],
    known: Mapping[Key, str],
    operators: Collection[Key],
    device: torch.device,
    dtype: torch.dtype,
) -> dict[Key, Tensor]:
    """Take {name: tensor or array}, or one tensor where one input is needed, onto the device.

    Floating-point values take the network's type, integers keep theirs. Inputs that are known and not needed are left
    out. known says of each input of the network why it is one; a missing input may be a misspelt operator.

    Errors: MissingInputError, UnknownNodeError, and SettingError for what is no tensor.
    """
    if not isinstance(given, Mapping):
        if len(needed) != 1:
            raise MissingInputError(
                f"One tensor was given, and {len(needed)} inputs are needed: {listing(map(repr, needed))}. "
                "Give a dictionary from their names to tensors."
            )
        given = {next(iter(needed)): given}
    for name in given:
        if name not in known:
            raise UnknownNodeError(
                f"The network has no input {name!r}.{did_you_mean(name, known)} Its inputs are "
                f"{listing(map(repr, known))}."
            )
    inputs = {}
    for name in needed:
        if name not in given:
            raise MissingInputError(
                f"The input {name!r} is missing: {known[name]}.{did_you_mean(name, set(operators) - {name})} "
                "Give it a value."
            )
        inputs[name] = to_tensor(given[name], f"The input {name!r}", device, dtype)
    return inputs


def to_tensor(value: Any, what: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor on the device; floating-point numbers in the given type."""
    if isinstance(value, Tensor):
        tensor = value
        if tensor.dtype is dtype and tensor.device == device:
            return tensor
    elif isinstance(value, (numpy.ndarray, numpy.generic, list, tuple, int, float)):
        tensor = _as_tensor(value, what)
    else:
        raise SettingError(f"{what} is a {type(value).__name__}; give a tensor or an array of numbers.")
    return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)


def _as_tensor(value: Any, what: str) -> Tensor:
    try:
        array = numpy.array(value)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except (TypeError, ValueError):
        raise SettingError(f"{what} does not hold numbers in a regular shape; give a tensor or an array.") from None
