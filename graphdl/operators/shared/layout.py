"""How images lie in memory.

Channels first, as their shape says, or channels last, with the channels of a pixel side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor

FIRST, LAST = torch.contiguous_format, torch.channels_last

MANY = 2**16
"""Values of an image batch from which on the layout matters more than what it costs to choose it."""


def arrange(x: Tensor, weight: Tensor) -> Tensor:
    """The input of a convolution of images in the layout in which it is quicker; the output has the same layout.

    oneDNN first copies images with channels first into blocks of channels, and its results back. With channels last it
    works on them as they are, but slower on weights. So channels are last where there are more values than weights.
    """
    if x.dim() != 4 or x.dtype is not torch.float32 or x.device.type not in ("cpu", "meta"):
        return x
    n, c, h, w = x.shape
    values = n * h * w * max(weight.shape[:2])
    if values < MANY or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return x
    if values <= weight.numel():
        return x.contiguous()
    x = x.contiguous(memory_format=LAST)
    return x.as_strided(x.shape, (h * w, 1, w, 1)) if c == 1 else x  # else torch takes it for channels first


def arranged_like(x: Tensor, like: Tensor) -> Tensor:
    """x in the layout of another tensor of its shape, if that is laid out in one of the two ways."""
    if x.dim() != 4 or x.stride() == like.stride():
        return x
    if like.is_contiguous():
        return x.contiguous()
    return x.contiguous(memory_format=LAST) if like.is_contiguous(memory_format=LAST) else x
