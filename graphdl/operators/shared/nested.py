"""Settings that stand for tensors: a number, or numbers in nested tuples of a regular shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

Nested: TypeAlias = "bool | float | tuple[Nested, ...]"


def is_nested(value: object) -> bool:
    """Whether a value is a number, or tuples of numbers of a regular shape."""
    if not isinstance(value, tuple):
        return isinstance(value, (bool, int, float))
    return all(map(is_nested, value)) and len({sizes_of(each) for each in value}) <= 1


def sizes_of(value: Any) -> tuple[int, ...]:
    """The shape of nested tuples."""
    if not isinstance(value, tuple):
        return ()
    return (len(value), *(sizes_of(value[0]) if value else ()))


def flat(value: Any) -> Iterator[bool | float]:
    """The numbers of nested tuples."""
    if isinstance(value, tuple):
        for each in value:
            yield from flat(each)
    else:
        yield value


def as_nested(value: Any) -> Any:
    """Lists as tuples, all else as it is."""
    return tuple(map(as_nested, value)) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Given:
    """An initializer that fills a tensor with a number, or with nested tuples of numbers."""

    value: Nested

    def __call__(self, parameter: Tensor, generator: Generator | None) -> Tensor:
        return parameter.copy_(torch.tensor(self.value, dtype=parameter.dtype, device="cpu"))
