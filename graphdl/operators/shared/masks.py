"""Masks: random ones, as dropout draws them, and those of a comparison, which choose the elements that pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

threshold_backward = torch.ops.aten.threshold_backward.default

NUMBERS = 2**32  # the number of values of a random 32-bit integer


def random_mask(shape: Sequence[int], dropped: float, generator: Generator | None, device: torch.device) -> Tensor:
    """A boolean tensor whose elements are False with the probability `dropped`.

    One random 64-bit integer is used for two elements, six times as fast as Tensor.bernoulli_ on a CPU.
    """
    size, highest = math.prod(shape), NUMBERS // 2
    integers = torch.empty((size + 1) // 2, dtype=torch.int64, device=device)
    numbers = integers.random_(-(2**63), None, generator=generator).view(torch.int32)[:size]
    return numbers.lt(min(round((1 - dropped) * NUMBERS) - highest, highest - 1)).view(*shape)


def compared(comparison: Callable[..., Tensor], a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """1 where a comparison holds, else 0, in the type of `like`, which has the shape of the result.

    On a CPU, comparisons take a third of the time if they write numbers in place of booleans.
    """
    return comparison(a, b, out=torch.empty_like(like))


def passed(dy: Tensor, chosen: Tensor) -> Tensor:
    """Dy where `chosen` is 1, and 0 where it is 0, even if dy is not finite.

    On a CPU this takes a tenth of the time of torch.where and masked_fill, which branch at each element.
    """
    return threshold_backward(dy, chosen, 0)  # type: ignore[no-any-return]
