"""A network with custom operators: a GPT block, whose GELU, attention and transposition are custom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.zoo.declaration import Declaration
from graphdl import CrossEntropyLoss, Linear, Network, Operator, Sum
from graphdl.operators import Embedding, LayerNorm

TOKENS, LENGTH, WIDTH, HEADS = 64, 32, 32, 4


class GELU(Operator):
    """y = x Φ(x), where Φ is the normal distribution function."""

    def forward(self, p: Any, x: Tensor, *, training: bool) -> Any:
        """Return the value; x is saved."""
        return functional.gelu(x), x

    def backward(self, p: Any, x: Tensor, dy: Tensor) -> Any:
        """Return dy (Φ(x) + x φ(x))."""
        cumulative = 0.5 * (1 + torch.erf(x * 0.5**0.5))
        density = torch.exp(-0.5 * x * x) * (2 * torch.pi) ** -0.5
        return (dy * (cumulative + x * density),), {}


class Attention(Operator):
    """softmax(q kᵀ / √d, causal) v for each head; q, k, v (n, t, c) -> (n, t, c)."""

    heads: int = HEADS

    slots: ClassVar = ("query", "key", "value")

    def forward(self, p: Any, q: Tensor, k: Tensor, v: Tensor, *, training: bool) -> Any:
        """Return the value; the weights and the heads are saved."""
        q, k, v = self._split(q), self._split(k), self._split(v)
        later = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool, device=q.device).triu(1)
        scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[2] ** -0.5
        weights = torch.softmax(scores.masked_fill(later, float("-inf")), 2)
        return self._join(torch.bmm(weights, v)), (q, k, v, weights)

    def backward(self, p: Any, saved: Any, dy: Tensor) -> Any:
        """Return the gradients of q, k and v."""
        (q, k, v, weights), dy = saved, self._split(dy)
        dweights = torch.bmm(dy, v.transpose(1, 2))
        dscores = weights * (dweights - (weights * dweights).sum(2, keepdim=True)) * q.shape[2] ** -0.5
        found = (torch.bmm(dscores, k), torch.bmm(dscores.transpose(1, 2), q), torch.bmm(weights.transpose(1, 2), dy))
        return tuple(map(self._join, found)), {}

    def _split(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        return x.reshape(n, t, self.heads, c // self.heads).transpose(1, 2).reshape(n * self.heads, t, -1)

    def _join(self, x: Tensor) -> Tensor:
        _, t, d = x.shape
        return x.reshape(-1, self.heads, t, d).transpose(1, 2).reshape(-1, t, self.heads * d)


class Turned(Operator):
    """Axes 1 and 2 in the place of each other."""

    def forward(self, p: Any, x: Tensor, *, training: bool) -> Any:
        """Return the transposed tensor."""
        return x.transpose(1, 2), None

    def backward(self, p: Any, saved: Any, dy: Tensor) -> Any:
        """Return the gradient, transposed."""
        return (dy.transpose(1, 2),), {}


def gpt_block(rows: int = 8) -> tuple[Network, dict[str, Tensor]]:
    """Embedded tokens, attention and a perceptron beside shortcuts, and the next token; 32 tokens of width 32."""
    declared = Declaration()
    source = declared.add("embedding", Embedding(TOKENS, WIDTH), "tokens")
    normal = declared.add("norm1", LayerNorm(WIDTH), source)
    parts = [declared.add(name, Linear(WIDTH, WIDTH), normal) for name in ("query", "key", "value")]
    mixed = declared.add("attention", Attention(), *parts)
    source = declared.add("sum1", Sum(), source, declared.add("projection", Linear(WIDTH, WIDTH), mixed))
    end = declared.chain(
        source,
        ("norm2", LayerNorm(WIDTH)),
        ("fc1", Linear(WIDTH, 4 * WIDTH)),
        ("gelu", GELU()),
        ("fc2", Linear(4 * WIDTH, WIDTH)),
    )
    source = declared.add("sum2", Sum(), source, end)
    head = declared.chain(source, ("norm3", LayerNorm(WIDTH)), ("head", Linear(WIDTH, TOKENS)), ("classes", Turned()))
    declared.add("loss", CrossEntropyLoss(), head, "target")
    generator = torch.Generator().manual_seed(0)
    batch = {name: torch.randint(TOKENS, (rows, LENGTH), generator=generator) for name in ("tokens", "target")}
    return declared.network(), batch
