"""What a kernel allocates for itself while it runs.

oneDNN's convolutions of 32-bit numbers on a CPU work on copies whose channels fill whole blocks, except of images with
channels last; the rules here were found with torch's profiler. All other kernels are taken to allocate nothing but
their results: the workspaces of cuDNN, and of convolutions in other types, are not planned.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphdl.cost.nests import bytes_of


def bytes_within(name: str, args: Any, result: Any, device: torch.device) -> int:
    """The most bytes that a call allocates at once on a device, those of its results included."""
    results = bytes_of(result)
    made = result if isinstance(result, (tuple, list)) else [result]
    if name in ("convolution", "convolution_backward") and blocks(args[1], device):
        x, weight = (args[0], args[1]) if name == "convolution" else (args[1], args[2])
        if x.dim() != 4:
            return results
        if x.stride(1) == 1 < x.shape[2:].numel():  # with channels last, only weights are copied
            return results + 2 * int(weight.nbytes)
        if name == "convolution":
            return _forward(x, weight, made[0])
        return max(results, _backward(args[0], x, weight, made[0] is not None))
    return results


def blocks(x: Tensor, device: torch.device) -> bool:
    """Whether a convolution is oneDNN's."""
    here = device.type == "cpu" and x.dtype is torch.float32
    return here and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _forward(x: Tensor, weight: Tensor, y: Tensor) -> int:
    source = _blocked(x) if x.shape[1] >= 16 else 0
    return max(source + _blocked(weight) + _blocked(y), _blocked(y) + y.nbytes)


def _backward(dy: Tensor, x: Tensor, weight: Tensor, wanted: bool) -> int:
    """First the input's gradient, if it is wanted, and beside it the parameters'."""
    source = _blocked(x) if x.shape[1] >= 16 else 2 * x.nbytes if x.shape[1] > 4 else 0
    parameters = _blocked(dy) + source + 2 * weight.nbytes
    if not wanted:
        return parameters
    return max(_blocked(dy) + _blocked(weight) + _blocked(x), _blocked(x) + x.nbytes, x.nbytes + parameters)


def _blocked(tensor: Tensor) -> int:
    """The bytes of (n, c, ...) with c padded to whole blocks; of a weight (o, i, ...) with o padded as well."""
    block = 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8
    n, c, *rest = tensor.shape
    return n * (-(-c // block) * block) * math.prod(rest) * tensor.itemsize
