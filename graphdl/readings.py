"""What diagrams show of recorded tensors: the numbers of small ones, statistics and a histogram of large ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphdl.rendering import Reading

MOST_ROWS, MOST_COLUMNS = 5, 6
BARS = 24
LARGE = 1e100


def readings(value: Any) -> tuple[Reading, ...]:
    """What is shown of a value: one Reading for a tensor, and one for each tensor of a tuple."""
    if isinstance(value, tuple):
        return tuple(each for element in value for each in readings(element))
    return (_reading(value.detach()),) if isinstance(value, Tensor) else ()


def _reading(tensor: Tensor) -> Reading:
    shape = f"{tuple(tensor.shape)}"
    if not tensor.numel():
        return Reading(lines=(f"empty, {shape}",))
    rows = tensor.reshape(1, -1) if tensor.dim() < 2 else tensor.flatten(1)
    if rows.shape[0] <= MOST_ROWS and rows.shape[1] <= MOST_COLUMNS:
        return Reading(numbers=tuple(map(tuple, rows.tolist())))
    numbers = tensor.double().flatten().cpu()
    finite = numbers[numbers.isfinite()]
    other = numbers.numel() - finite.numel()
    lines = (f"{other:,} of {numbers.numel():,} not finite",) if other else ()
    if not finite.numel():
        return Reading(lines=lines)
    largest = finite.abs().max().item()
    usual = 1 / LARGE < largest < LARGE or not largest  # squares of other numbers may be infinite, or 0
    scale = 1.0 if usual else largest
    finite = finite / scale
    low, high = finite.min().item(), finite.max().item()
    spread = f"{finite.mean().item() * scale:.3g} ± {finite.std(correction=0).item() * scale:.3g}"
    bars = torch.histc(finite, BARS, low, high) if low < high else torch.tensor([finite.numel()])
    ends = f"{low * scale:.3g} … {high * scale:.3g}"
    return Reading(bars=tuple(map(int, bars.tolist())), lines=(spread, ends, *lines))
