"""Checks of arguments for data sets, splits and batches."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from types import ModuleType

import torch

from graphdl.errors import SettingError, ShapeError, import_optional, listing
from graphdl.settings import is_whole_number
from graphdl.shown import received

__all__ = ["common_rows", "finite_number", "scikit_learn", "whole_number"]


def whole_number(name: str, value: object, least: int, most: float = math.inf) -> int:
    """Return the value as an int. Raises SettingError unless it is a whole number from least to most.

    >>> whole_number("batch_size", 50, least=1)
    50
    """
    number = int(value) if is_whole_number(value) else None
    if number is None or not least <= number <= most:
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise SettingError(f"{name} is {received(value)}: give a whole number {limits}.")
    return number


def finite_number(name: str, value: object, least: float = -math.inf) -> float:
    """Return the value as a float. Raises SettingError if it is not finite or is below `least`.

    >>> finite_number("noise", 1, least=0)
    1.0
    """
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < least:
        limits = "" if least == -math.inf else f" of at least {least:g}"
        raise SettingError(f"{name} is {received(value)}: give a finite number{limits}.")
    return float(value)


def common_rows(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return the number of rows n > 0 of tensors (n, ...).

    Raises SettingError if there are no tensors or a value is not a tensor, and ShapeError if a tensor has no axis or no
    rows or if the numbers of rows differ.

    >>> common_rows({"x": torch.zeros(4, 2), "target": torch.zeros(4)})
    4
    """
    if not tensors:
        raise SettingError("No tensors were given: give at least one, with the rows on its first axis.")
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            kind = type(tensor).__name__
            raise SettingError(f"{name} is a {kind}, not a tensor: convert it, for example with torch.as_tensor.")
        if tensor.ndim == 0:
            raise ShapeError(
                f"{name} has shape (), so it has no rows: give it a first axis, with one row for each sample."
            )
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        described = listing(f"{name} has {length}" for name, length in lengths.items())
        raise ShapeError(f"The tensors differ in their number of rows: {described}. Each row is one sample.")
    rows = next(iter(lengths.values()))
    if rows == 0:
        raise ShapeError(f"{listing(lengths)}: 0 rows, but at least one is needed.")
    return rows


def scikit_learn(module: str, caller: str) -> ModuleType:
    """Import a module of scikit-learn. Raises MissingPackageError, which names the caller."""
    return import_optional(module, caller, "scikit-learn", "sklearn")
