"""Tensors in nests of tuples, lists and dictionaries, and their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from graphdl.execution.tape import address


def tensors(nested: Any) -> Iterator[Tensor]:
    """The tensors in a nest."""
    if isinstance(nested, Tensor):
        yield nested
    elif isinstance(nested, (tuple, list)):
        for each in nested:
            yield from tensors(each)
    elif isinstance(nested, Mapping):
        yield from tensors(list(nested.values()))


def bytes_of(nested: Any) -> int:
    """The bytes of all tensors in a nest."""
    return sum(tensor.nbytes for tensor in tensors(nested))


def bytes_once(nested: Any) -> int:
    """The bytes of all tensors in a nest, each piece of memory once."""
    return sum({storage_of(tensor): tensor.untyped_storage().nbytes() for tensor in tensors(nested)}.values())


def storage_of(tensor: Tensor) -> int:
    """What distinguishes the memory of one tensor from that of another."""
    return address(tensor.untyped_storage())
