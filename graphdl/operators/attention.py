"""Scaled dot-product attention.

Each position reads from all others, weighted by how well its query fits their keys.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Generator, Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values
from graphdl.operators.shared.attending import Attended, Numbers, attend, check_mask, dattend, factor, keeps, numbers
from graphdl.registry import register
from graphdl.settings import flag, number, optional, probability, setting
from graphdl.slots import InputSlot

__all__ = ["ScaledDotProductAttention"]


@register
class ScaledDotProductAttention(Operator):
    """Attention of given queries, keys and values: y = softmax(scale q kᵀ + mask) v.

    q (n, ..., t, d), k (n, ..., s, d), v (n, ..., s, e), optionally a mask that broadcasts to (n, ..., t, s)
    -> y (n, ..., t, e).
    With w the softmax: dv = wᵀ dy; dmask = w (g - sum g w) where g = dy vᵀ; dq = scale dmask k, dk = scale dmaskᵀ q.

    mask       an input: booleans, True for pairs that take part; or numbers that are added, which have a gradient
    dropout_p  the probability with which a weight is set to 0 in training
    is_causal  whether position i reads from positions up to i only; unlike in torch, a mask may be given as well
    scale      1 / sqrt(d) by default

    Kept for backward: q, k, v, y and the weights (t, s). Without dropout and without a mask of numbers, torch's fused
    kernel computes it, and the weights are not kept.
    Errors: ShapeError if the leading axes differ.
    Source: Vaswani et al., "Attention is all you need", 2017.
    """

    dropout_p: float = setting(probability(), default=0.0)
    is_causal: bool = setting(flag(), default=False)
    scale: float | None = setting(optional(number()), default=None)

    slots: ClassVar = ("query", "key", "value", InputSlot("mask", optional=True))
    family: ClassVar = "attention"

    def draw(self, *inputs: Any, generator: Generator | None) -> Tensor | None:
        """The weights that are kept."""
        q, k, *_ = inputs
        return keeps(self.dropout_p, (*q.shape[:-1], k.shape[-2]), q, generator) if self.dropout_p else None

    def forward(
        self,
        p: Values,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        training: bool,
        drawn: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Attended, Numbers | None]]:
        alike = q.dim() == k.dim() == v.dim() > 1 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        if not alike or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
            raise ShapeError("query, key and value do not fit together")
        if mask is not None:
            check_mask(mask, (*q.shape[:-1], k.shape[-2]))
        if training and drawn is None:
            drawn = self.draw(q, k, generator=None)
        a = attend(q, k, v, mask, scale=self.scale, causal=self.is_causal, kept=drawn, factor=factor(self.dropout_p))
        return a.out, (a, numbers(mask))

    def backward(
        self, p: Values, saved: tuple[Attended, Numbers | None], dy: Tensor, needs: Needs = EVERYTHING
    ) -> Gradients:
        dq, dk, dv, dadded = dattend(saved[0], dy)
        mask = saved[1]
        dmask = None if mask is None or dadded is None else dadded.sum_to_size(mask.shape).to(mask.dtype)
        return (dq, dk, dv, dmask), {}

    def expects(self, *inputs: Any) -> str:
        return "query (n, ..., t, d), key (n, ..., s, d) and value (n, ..., s, e), and a mask (t, s) or (n, ..., t, s)"
