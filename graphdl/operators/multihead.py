"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Generator, Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import VarianceScaling, XavierNormal, XavierUniform, Zeros
from graphdl.operators.known_sizes import Known
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Parameter, Values
from graphdl.operators.shared.attending import (
    Attended,
    Numbers,
    attend,
    check_mask,
    dattend,
    factor,
    keeps,
    known_attention,
    lengthened,
    numbers,
    rows,
    united,
)
from graphdl.registry import register
from graphdl.settings import described, flag, optional, probability, setting, size
from graphdl.slots import InputSlot

__all__ = ["MultiheadAttention"]

linear = torch._C._nn.linear
SOURCES = ("query", "key", "value")


class Kept(NamedTuple):
    """What backward needs: the inputs, what the heads computed, their outputs side by side, and what the masks are."""

    xs: tuple[Tensor, Tensor, Tensor]
    heads: Attended
    merged: Tensor
    masks: tuple[Numbers | None, Numbers | None]


@register
class MultiheadAttention(Operator):
    """Attention by several heads: y = concat(head_1, ..., head_h) Woᵀ + bo, each head with its own projections.

    query (n, t, i), key (n, s, kdim), value (n, s, vdim) with batch_first, else (t, n, i) and so on; or all without the
    batch axis -> y like query, i = embed_dim. A head computes softmax(q kᵀ / sqrt(d) + mask) v of its d = i / num_heads
    features of q = query Wqᵀ + bq, k = key Wkᵀ + bk and v = value Wvᵀ + bv; gradients as in ScaledDotProductAttention.

    key_padding_mask  (n, s): True for keys that are masked, or numbers that are added
    attn_mask         (t, s) or (n num_heads, t, s): True for pairs that are masked, or numbers that are added. As in
                      torch, True means the opposite of what it means in ScaledDotProductAttention
    is_causal         whether position i reads from positions up to i only
    need_weights      whether the output is a tuple (y, weights): (n, t, s), their mean over the heads, or
                      (n, num_heads, t, s) with average_attn_weights=False. torch.nn has these two and is_causal as
                      arguments of the call, and returns weights by default

    batch_first is False by default, as in torch.nn: set it in networks whose first axis is the batch.
    in_proj_weight (3 i, i), in_proj_bias (3 i), out_proj.weight (i, i), out_proj.bias (i); with kdim or vdim other than
    embed_dim q_proj_weight, k_proj_weight and v_proj_weight; with add_bias_kv bias_k and bias_v (1, 1, i), one more key
    and value; add_zero_attn adds a key and a value of zeros. embed_dim may be left out: it is inferred from the first
    query. Errors: SettingError if num_heads does not divide it. Source: as in ScaledDotProductAttention.
    """

    embed_dim: int | None = setting(optional(size()), default=None)
    num_heads: int | None = setting(optional(size()), default=None)
    dropout: float = setting(probability(), default=0.0)
    bias: bool = setting(flag(), default=True)
    add_bias_kv: bool = setting(flag(), default=False)
    add_zero_attn: bool = setting(flag(), default=False)
    kdim: int | None = setting(optional(size()), default=None)
    vdim: int | None = setting(optional(size()), default=None)
    batch_first: bool = setting(flag(), default=False)
    is_causal: bool = setting(flag(), default=False, kw_only=True)
    need_weights: bool = setting(flag(), default=False, kw_only=True)
    average_attn_weights: bool = setting(flag(), default=True, kw_only=True)

    slots: ClassVar = (
        *SOURCES,
        InputSlot("key_padding_mask", optional=True),
        InputSlot("attn_mask", optional=True),
    )
    family: ClassVar = "attention"
    inferred: ClassVar = ("embed_dim",)

    def check_settings(self) -> None:
        if self.num_heads is None:
            raise SettingError("MultiheadAttention: num_heads is missing; write MultiheadAttention(64, 4)")
        if self.embed_dim is not None and self.embed_dim % self.num_heads:
            wrong = f"num_heads must divide embed_dim, and {self.num_heads} does not divide {self.embed_dim}"
            raise SettingError(f"MultiheadAttention: {wrong}")

    @property
    def same_widths(self) -> bool:
        """Whether the three projections are one parameter."""
        return self.kdim in (None, self.embed_dim) and self.vdim in (None, self.embed_dim)

    def parameters(self) -> dict[str, Parameter]:
        i, first = int(self.embed_dim or 0), XavierUniform()
        if self.same_widths:
            found = {"in_proj_weight": Parameter((3 * i, i), first)}
        else:
            widths = {"q": i, "k": self.kdim or i, "v": self.vdim or i}
            found = {f"{name}_proj_weight": Parameter((i, width), first) for name, width in widths.items()}
        found |= {"in_proj_bias": Parameter((3 * i,), Zeros())} if self.bias else {}
        found["out_proj.weight"] = Parameter((i, i), VarianceScaling(1 / 3))
        found |= {"out_proj.bias": Parameter((i,), Zeros())} if self.bias else {}
        if self.add_bias_kv:
            found |= {name: Parameter((1, 1, i), XavierNormal()) for name in ("bias_k", "bias_v")}
        return found

    def infer(self, *shapes: Any) -> Self:
        if not shapes[0]:
            raise ShapeError("the query is a single number and has no feature axis")
        return replace(self, embed_dim=shapes[0][-1]) if self.embed_dim is None else self

    def propagate(self, *inputs: Any) -> Known:
        return known_attention(inputs, self.embed_dim, self.kdim, self.vdim, self.need_weights)

    def draw(self, *inputs: Any, generator: Generator | None) -> Tensor | None:
        """The weights that dropout keeps."""
        if not self.dropout:
            return None
        query, key, *_ = inputs
        (n, t), s = self._extent(query), self._extent(key)[1]
        return keeps(self.dropout, (n, int(self.num_heads or 1), t, s + self._more), query, generator)

    def forward(
        self,
        p: Values,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        *,
        training: bool,
        drawn: Tensor | None = None,
    ) -> tuple[Any, Kept]:
        self._check(query, key, value)
        q, k, v = map(self._heads, self._projected(p, query, key, value))
        k, v = (lengthened(x, p.get(name), self.add_zero_attn) for x, name in ((k, "bias_k"), (v, "bias_v")))
        mask = self._mask(key_padding_mask, attn_mask, q, k)
        if drawn is None and training:
            drawn = self.draw(query, key, generator=None)
        heads = attend(
            q, k, v, mask, causal=self.is_causal and not self._more, kept=drawn, factor=factor(self.dropout),
            weighted=self.need_weights,
        )  # fmt: skip
        merged = self._merged(heads.out, query)
        y = linear(merged, p["out_proj.weight"], p.get("out_proj.bias"))
        kept = Kept((query, key, value), heads, merged, (numbers(key_padding_mask), numbers(attn_mask)))
        return ((y, self._shown(heads.used, query)) if self.need_weights else y), kept

    def backward(self, p: Values, saved: Kept, dy: Any, needs: Needs = EVERYTHING) -> Gradients:
        dy, dweights = dy if self.need_weights else (dy, None)
        dy = saved.merged.new_zeros(saved.merged.shape) if dy is None else dy
        gradients: Values = {}
        if "out_proj.weight" in needs:
            gradients["out_proj.weight"] = torch.mm(rows(dy).t(), rows(saved.merged), out=needs["out_proj.weight"])
        if self.bias and "out_proj.bias" in needs:
            gradients["out_proj.bias"] = rows(dy).sum(0)
        dheads = self._heads(torch.matmul(dy, p["out_proj.weight"]))
        dused = None if dweights is None else self._dshown(dweights, saved.heads)
        dq, dk, dv, dadded = dattend(saved.heads, dheads, dused)
        s = dk.shape[2] - self._more
        if self.add_bias_kv:
            gradients |= {
                name: dx[:, :, s : s + 1].sum(0).view(1, 1, -1) for name, dx in (("bias_k", dk), ("bias_v", dv))
            }
        ds = [self._merged(dx, x) for dx, x in zip((dq, dk[:, :, :s], dv[:, :, :s]), saved.xs, strict=True)]
        dxs, more = self._dprojected(p, saved.xs, ds, needs)
        return (*dxs, *self._dmasks(saved, dadded)), gradients | more

    # Projections

    def _weights(self, p: Values) -> list[Tensor]:
        """The weights of the projections of query, key and value."""
        if self.same_widths:
            return list(p["in_proj_weight"].chunk(3))
        return [p[f"{name}_proj_weight"] for name in "qkv"]

    def _projected(self, p: Values, *xs: Tensor) -> Sequence[Tensor]:
        if self.same_widths and xs[0] is xs[1] is xs[2]:
            return linear(xs[0], p["in_proj_weight"], p.get("in_proj_bias")).chunk(3, -1)
        biases = p["in_proj_bias"].chunk(3) if self.bias else (None, None, None)
        return [linear(x, weight, bias) for x, weight, bias in zip(xs, self._weights(p), biases, strict=True)]

    def _dprojected(
        self, p: Values, xs: Sequence[Tensor], ds: list[Tensor], needs: Needs
    ) -> tuple[list[Tensor | None], Values]:
        weights, gradients = self._weights(p), dict[str, Tensor]()
        dxs = [torch.matmul(d, w) if slot in needs else None for slot, d, w in zip(SOURCES, ds, weights, strict=True)]
        if self.same_widths and "in_proj_weight" in needs:
            whole = needs["in_proj_weight"]
            whole = gradients["in_proj_weight"] = torch.empty_like(p["in_proj_weight"]) if whole is None else whole
            for part, d, x in zip(whole.chunk(3), ds, xs, strict=True):
                torch.mm(rows(d).t(), rows(x), out=part)
        for name, d, x in zip("qkv", ds, xs, strict=True):
            if not self.same_widths and f"{name}_proj_weight" in needs:
                gradients[f"{name}_proj_weight"] = torch.mm(rows(d).t(), rows(x))
        if self.bias and "in_proj_bias" in needs:
            gradients["in_proj_bias"] = torch.cat([rows(d).sum(0) for d in ds])
        return dxs, gradients

    # Heads

    @property
    def _more(self) -> int:
        """The keys that are added."""
        return self.add_bias_kv + self.add_zero_attn

    def _extent(self, x: Tensor) -> tuple[int, int]:
        """(rows, positions)."""
        if x.dim() == 2:
            return 1, x.shape[0]
        return (x.shape[0], x.shape[1]) if self.batch_first else (x.shape[1], x.shape[0])

    def _heads(self, x: Tensor) -> Tensor:
        """(n, h, t, d) of features side by side."""
        x = x.unsqueeze(0) if x.dim() == 2 else x if self.batch_first else x.transpose(0, 1)
        heads = int(self.num_heads or 1)
        return x.view(*x.shape[:2], heads, x.shape[-1] // heads).transpose(1, 2)

    def _merged(self, heads: Tensor, like: Tensor) -> Tensor:
        """The features of (n, h, t, d) side by side, with the axes of `like`."""
        merged = heads.transpose(1, 2).flatten(2)
        if like.dim() == 2:
            return merged.squeeze(0)
        return merged if self.batch_first else merged.transpose(0, 1)

    def _shown(self, used: Tensor | None, like: Tensor) -> Tensor:
        """The weights as an output."""
        assert used is not None
        shown = used.mean(1) if self.average_attn_weights else used
        return shown.squeeze(0) if like.dim() == 2 else shown

    def _dshown(self, dweights: Tensor, heads: Attended) -> Tensor:
        n, h, t, _ = heads.q.shape
        if self.average_attn_weights:
            return (dweights / h).view(n, 1, t, -1)
        return dweights.view(n, h, t, -1)

    # Masks

    def _mask(self, padding: Tensor | None, pairs: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
        """One mask, as `attend` takes it: True for pairs that take part, or numbers that are added."""
        n, h, t, s = *q.shape[:3], k.shape[2] - self._more
        masks = []
        if padding is not None:
            if padding.shape not in ((n, s), (s,) if n == 1 else (n, s)):
                raise ShapeError(f"key_padding_mask has the shape {tuple(padding.shape)} in place of {(n, s)}")
            check_mask(padding, (n, s))
            masks.append(padding.view(n, 1, 1, s))
        if pairs is not None:
            check_mask(pairs, (t, s) if pairs.dim() == 2 else (n * h, t, s))
            masks.append(pairs if pairs.dim() == 2 else pairs.view(n, h, t, s))
        if self.is_causal and self._more:
            masks.append(torch.ones(t, s, dtype=torch.bool, device=q.device).triu(1))
        mask = united(masks, q)
        if mask is None or not self._more:
            return mask
        return torch.constant_pad_nd(mask, (0, self._more), mask.dtype is torch.bool)

    def _dmasks(self, saved: Kept, dadded: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of masks of numbers."""
        padding, pairs = saved.masks
        if dadded is None or not (padding or pairs):
            return None, None
        dadded = dadded[..., : dadded.shape[-1] - self._more]
        dpadding = padding and padding.gradient(dadded.sum((1, 2)))
        return dpadding, pairs and pairs.gradient(dadded.sum((0, 1)) if len(pairs.shape) == 2 else dadded)

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Raise ShapeError for inputs that do not fit together."""
        i, ranks = self.embed_dim, {query.dim(), key.dim(), value.dim()}
        widths = query.shape[-1:] + key.shape[-1:] + value.shape[-1:]
        if ranks not in ({2}, {3}) or widths != (i, self.kdim or i, self.vdim or i):
            raise ShapeError("query, key and value do not have the axes and the features that they need")
        if self._extent(key) != self._extent(value) or self._extent(query)[0] != self._extent(key)[0]:
            raise ShapeError("query, key and value do not fit together")

    def describe(self) -> str:
        chosen = described(self, "embed_dim", "num_heads")
        return ", ".join([f"{self.embed_dim or '?'} features", f"{self.num_heads} heads", *chosen])

    def expects(self, *inputs: Any) -> str:
        order = "n, {}, " if self.batch_first else "{}, n, "
        i, axes = self.embed_dim or "i", [order.format(t) for t in "ts"]
        text = f"query ({axes[0]}{i}), key ({axes[1]}{self.kdim or i}) and value ({axes[1]}{self.vdim or i})"
        text += "" if self.batch_first else "; batch_first=True takes the batch as the first axis"
        return f"{text}. Optional: key_padding_mask (n, s) and attn_mask (t, s) or (n num_heads, t, s)"
