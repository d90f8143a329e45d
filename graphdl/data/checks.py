"""The checks that the data sets, splits and batches share."""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Mapping
from types import ModuleType

import torch

from graphdl.errors import MissingPackageError, SettingError, ShapeError, listing

__all__ = ["common_rows", "finite_number", "scikit_learn", "whole_number"]


def whole_number(name: str, value: object, least: int, most: float = math.inf) -> int:
    """Return the value as an int, or raise a SettingError if it is none or lies outside least ... most.

    >>> whole_number("batch_size", 50, least=1)
    50
    """
    number = None if isinstance(value, bool) or not isinstance(value, numbers.Integral) else int(value)
    if number is None or not least <= number <= most:
        limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise SettingError(f"{name} is {value!r}: give a whole number {limits}.")
    return number


def finite_number(name: str, value: object, least: float = -math.inf) -> float:
    """Return the value as a float, or raise a SettingError if it is not finite or lies below `least`.

    >>> finite_number("noise", 1, least=0)
    1.0
    """
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < least:
        limits = "" if least == -math.inf else f" of at least {least:g}"
        raise SettingError(f"{name} is {value!r}: give a finite number{limits}.")
    return float(value)


def common_rows(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return the length n > 0 that all tensors (n, ...) share on their first axis.

    Raises SettingError where there is no tensor or something else than a tensor, and ShapeError where a
    tensor has no axis or no rows or the lengths differ; each names the tensors that it is about.

    >>> common_rows({"x": torch.zeros(4, 2), "target": torch.zeros(4)})
    4
    """
    if not tensors:
        raise SettingError("No tensors were given: give at least one, with the rows on its first axis.")
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            kind = type(tensor).__name__
            raise SettingError(f"{name} is a {kind}, not a tensor: convert it, for instance by torch.as_tensor.")
        if tensor.ndim == 0:
            raise ShapeError(f"{name} has shape (), so it has no rows: give it a first axis, one row a sample.")
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        described = listing(f"{name} has {length}" for name, length in lengths.items())
        raise ShapeError(f"The tensors differ in their number of rows: {described}. Each row is one sample.")
    rows = next(iter(lengths.values()))
    if rows == 0:
        raise ShapeError(f"{listing(lengths)}: 0 rows, but at least one is needed. Is a filter too strict?")
    return rows


def scikit_learn(module: str, caller: str) -> ModuleType:
    """Import a module of scikit-learn for the caller, or raise a MissingPackageError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{caller} needs scikit-learn, which cannot be imported ({error}): pip install graphdl[sklearn]"
        ) from error
