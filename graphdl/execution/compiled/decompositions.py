"""What functions of torch are made of, where torch's own tables leave them whole or take them apart too far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import CompileError

aten = torch.ops.aten
WHOLE = (aten.embedding_dense_backward.default, aten.mv.default, aten.dot.default, aten.addmm.default)


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y, mean and 1 / standard deviation, over the last axes."""
    axes = list(range(x.dim() - len(shape), x.dim()))
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    invstd = torch.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    y = centred * invstd
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, invstd


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, mean and 1 / standard deviation, over all axes but that of the channels; the running ones move."""
    if not training:
        raise CompileError("batch normalization by running statistics in training has no form in C++ here")
    axes, channels = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    mean = x.mean(axes)
    centred = x - mean.view(channels)
    var = (centred * centred).mean(axes)
    invstd = torch.rsqrt(var + eps)
    y = centred * invstd.view(channels)
    y = y if weight is None else y * weight.view(channels)
    y = y if bias is None else y + bias.view(channels)
    count = x.numel() // x.shape[1]
    for running, batch in ((running_mean, mean), (running_var, var * (count / max(count - 1, 1)))):
        if running is not None:
            running.copy_(running * (1 - momentum) + batch * momentum)
    return y, mean, invstd


@cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Function -> what it is made of."""
    from torch._decomp import core_aten_decompositions, get_decompositions

    table = {**core_aten_decompositions(), **get_decompositions([aten._log_softmax, aten._softmax])}
    for function in WHOLE:
        table.pop(function, None)
    table[aten.native_layer_norm.default] = layer_norm
    table[aten.native_batch_norm.default] = batch_norm
    return table
