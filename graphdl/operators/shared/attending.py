"""Scaled dot-product attention of heads, and its gradients.

q (n, h, t, d), k (n, h, s, d), v (n, h, s, e) -> out (n, h, t, e): out = softmax(scale q kᵀ + mask) v. Rows in which
the mask allows no position give 0. The operators with attention share these functions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import Known, KnownSizes

aten = torch.ops.aten
flash = aten._scaled_dot_product_flash_attention_for_cpu.default
flash_backward = aten._scaled_dot_product_flash_attention_for_cpu_backward.default


class Attended(NamedTuple):
    """What was computed and what backward needs.

    weights  the softmax, or None where a kernel computed all at once
    used     the weights after dropout: those that are kept, times a factor
    added    the mask as numbers that are added, or None
    sums     the kernel's logarithms of sums, or None
    """

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor
    scale: float
    causal: bool
    weights: Tensor | None = None
    used: Tensor | None = None
    kept: Tensor | None = None
    factor: float = 1.0
    added: Tensor | None = None
    sums: Tensor | None = None


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    *,
    scale: float | None = None,
    causal: bool = False,
    kept: Tensor | None = None,
    factor: float = 1.0,
    weighted: bool = False,
) -> Attended:
    """Attention with a mask: of booleans, True for the pairs that take part, or of numbers that are added.

    causal    position i attends to positions up to i
    kept      the weights that dropout keeps, drawn as booleans; they are multiplied by the factor
    weighted  whether the weights are needed
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if causal and mask is not None:
        mask, causal = only_before(mask, q, k), False
    if mask is None or mask.dtype is torch.bool:
        added = None if mask is None else as_numbers(mask, q)
        if kept is None and not weighted and fits_kernel(q, k, v, added):
            out, sums = flash(q, k, v, 0.0, causal, attn_mask=added, scale=scale)
            return Attended(q, k, v, out, scale, causal, added=added, sums=sums)
    else:
        added = mask.to(q.dtype)
    if causal:
        added = as_numbers(before(q, k), q)
    scores = torch.matmul(q * scale, k.transpose(-1, -2))
    weights = torch.softmax(scores, -1) if added is None else aten._safe_softmax(scores + added, -1)
    used = weights if kept is None else torch.mul(weights, kept).mul_(factor)
    return Attended(q, k, v, torch.matmul(used, v), scale, False, weights, used, kept, factor, added)


def dattend(a: Attended, dout: Tensor, dused: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients of q, k, v and of the numbers that were added, from those of out and of the weights used."""
    if a.weights is None:
        settings: dict[str, Any] = {"attn_mask": a.added, "scale": a.scale}
        dq, dk, dv = flash_backward(dout, a.q, a.k, a.v, a.out, a.sums, 0.0, a.causal, **settings)
        return dq, dk, dv, None
    assert a.used is not None
    dweights = torch.matmul(dout, a.v.transpose(-1, -2))
    dweights = dweights if dused is None else dweights + dused
    dweights = dweights if a.kept is None else torch.mul(dweights, a.kept).mul_(a.factor)
    dscores = aten._softmax_backward_data(dweights, a.weights, -1, a.weights.dtype)
    dk = torch.matmul(dscores.transpose(-1, -2), a.q * a.scale)
    return torch.matmul(dscores, a.k) * a.scale, dk, torch.matmul(a.used.transpose(-1, -2), dout), dscores


def before(q: Tensor, k: Tensor) -> Tensor:
    """(t, s): True where the key is not after the query."""
    return torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()


def only_before(mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """The mask without the keys after the query."""
    earlier = before(q, k)
    return mask & earlier if mask.dtype is torch.bool else mask + as_numbers(earlier, q)


def as_numbers(mask: Tensor, like: Tensor) -> Tensor:
    """0 where the mask is True, else -inf."""
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill_(mask.logical_not(), -math.inf)


def fits_kernel(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None) -> bool:
    """Whether torch's kernel for CPUs, which never holds all the weights, takes these."""
    sizes = q.dim() == 4 and q.shape[-1] == v.shape[-1] and min(q.numel(), k.numel()) > 0
    dense = q.stride(-1) == k.stride(-1) == v.stride(-1) == 1
    return sizes and dense and q.device.type in ("cpu", "meta") and (added is None or added.dim() in (2, 4))


def lengthened(x: Tensor, bias: Tensor | None, zero: bool) -> Tensor:
    """Keys or values (n, h, t, d) with a learned one (1, 1, h d), and one of zeros, at the end."""
    n, h, _, d = x.shape
    ends = [] if bias is None else [bias.view(1, h, 1, d).expand(n, h, 1, d)]
    ends += [x.new_zeros(n, h, 1, d)] if zero else []
    return torch.cat([x, *ends], 2) if ends else x


def rows(x: Tensor) -> Tensor:
    """All positions of all rows below each other."""
    return x.reshape(-1, x.shape[-1])


class Numbers(NamedTuple):
    """The shape and the dtype of a mask of numbers, and so of its gradient."""

    shape: torch.Size
    dtype: torch.dtype

    def gradient(self, found: Tensor) -> Tensor:
        """The gradient as the mask is."""
        return found.reshape(self.shape).to(self.dtype)


def numbers(mask: Tensor | None) -> Numbers | None:
    """What is kept of a mask of numbers, which has a gradient; None for another mask or none."""
    return None if mask is None or mask.dtype is torch.bool else Numbers(mask.shape, mask.dtype)


def united(masks: list[Tensor], like: Tensor) -> Tensor | None:
    """One mask, as `attend` takes it, of several in which True stands for the pairs that are left out."""
    if all(mask.dtype is torch.bool for mask in masks):
        return functools.reduce(torch.logical_or, masks).logical_not() if masks else None
    added = [as_numbers(mask.logical_not(), like) if mask.dtype is torch.bool else mask for mask in masks]
    return functools.reduce(torch.add, added)


def check_mask(mask: Tensor, scores: tuple[int, ...]) -> None:
    """Raise ShapeError for a mask that does not fit the scores, or that holds integers."""
    if not mask.is_meta and mask.dtype is not torch.bool and not mask.is_floating_point():
        raise ShapeError("the mask holds integers: give booleans, mask.bool(), or numbers that are added")
    fits = all(m in (1, s) for m, s in zip(mask.shape[::-1], scores[::-1], strict=False))
    if mask.dim() > len(scores) or not fits:
        raise ShapeError(f"the mask (shape {tuple(mask.shape)}) does not fit pairs of the shape {scores}")


def keeps(p: float, shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """The weights that dropout with the probability p keeps, drawn as booleans."""
    return torch.rand(shape, device=like.device, generator=generator).ge(p)


def factor(p: float) -> float:
    """The factor of the weights that dropout keeps."""
    return 1 / (1 - p) if p < 1 else 0.0


def known_attention(inputs: Sequence[Any], width: int | None, k: int | None, v: int | None, weights: bool) -> Known:
    """What is known of the result of attention from the widths of query, key and value."""
    for known, expected in zip(inputs, (width, k or width, v or width), strict=False):
        known.expect(-1, expected)
    y = KnownSizes({} if width is None else {-1: width})
    return (y, KnownSizes()) if weights else y
