"""A GPT (Radford et al., 2019), and a Transformer encoder (Vaswani et al., 2017)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from graphdl import Block, CrossEntropyLoss, Feed, Linear, Network, Residual, Sequential, Sum, TransformerEncoderLayer
from graphdl.operators import (
    GELU,
    Embedding,
    Flatten,
    IndexSelect,
    LayerNorm,
    MatMul,
    MultiheadAttention,
    Transpose,
    Weight,
)

TOKENS = 256
ENCODER = {"d_model": 16, "nhead": 4, "dim_feedforward": 32, "dropout": 0.0, "batch_first": True}


def gpt(
    rows: int = 8, length: int = 128, width: int = 256, heads: int = 4, layers: int = 4, tied: bool = False
) -> tuple[Network, dict[str, Tensor]]:
    """Predicts the next token; tied: the table of the embedding is also the weight of the head."""
    operators = {
        "embedding": Embedding(TOKENS, width),
        "positions": Weight((1, length, width)),
        "sum": Sum(),
        **{f"layer{k}": gpt_layer(width, heads) for k in range(layers)},
        "norm": LayerNorm(width),
        "head": Linear(width, TOKENS, bias=False),
        "logits": Flatten(0, 1),
        "labels": Flatten(0, 1),
        "loss": CrossEntropyLoss(),
    }
    chain = ["sum", *(f"layer{k}" for k in range(layers)), "norm", "head", "logits", "loss"]
    connectivity: dict[str, list[str | Feed]] = {source: [node] for source, node in pairwise(chain)}
    connectivity |= {"tokens": ["embedding"], "embedding": ["sum"], "positions": ["sum"]}
    connectivity |= {"target": ["labels"], "labels": [Feed("loss", slot="target")]}
    if tied:
        operators |= {"embedding": IndexSelect(0), "head": MatMul(), "turned": Transpose(0, 1), "table": _table(width)}
        connectivity |= {
            "table": ["embedding", "turned"],
            "tokens": [Feed("embedding", slot="index")],
            "norm": [Feed("head", slot=0)],
            "turned": [Feed("head", slot=1)],
        }
    generator = torch.Generator().manual_seed(0)
    batch = {name: torch.randint(TOKENS, (rows, length), generator=generator) for name in ("tokens", "target")}
    return Network(operators, connectivity, seed=0), batch


def _table(width: int) -> Weight:
    return Weight((TOKENS, width))


def gpt_layer(width: int, heads: int) -> Block:
    """Attention to earlier tokens and a perceptron, each beside a shortcut."""
    attend = Block(
        {"norm": LayerNorm(width), "heads": MultiheadAttention(width, heads, batch_first=True, is_causal=True)},
        {"x": ["norm"], "norm": ["heads"] * 3},
    )
    perceptron = Residual(
        norm=LayerNorm(width), fc1=Linear(width, 4 * width), gelu=GELU(), fc2=Linear(4 * width, width)
    )
    return Sequential(attention=Residual(part=attend), perceptron=perceptron)


class HeadsTwin(nn.Module):
    """Attention to earlier tokens in torch, by one product for queries, keys and values, and the fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight, self.in_proj_bias = nn.Linear(width, 3 * width).parameters()
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        parts = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        q, k, v = (part.view(n, t, self.heads, -1).transpose(1, 2) for part in parts)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(y.transpose(1, 2).reshape(n, t, c))


class GPTLayerTwin(nn.Module):
    """A layer in torch."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"part": nn.ModuleDict({"norm": nn.LayerNorm(width), "heads": HeadsTwin(width, heads)})}
        )
        self.perceptron = nn.ModuleDict(
            {"norm": nn.LayerNorm(width), "fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        attend, f = self.attention["part"], self.perceptron
        x = x + attend["heads"](attend["norm"](x))
        return x + f["fc2"](nn.functional.gelu(f["fc1"](f["norm"](x))))


class GPTTwin(nn.Module):
    """The GPT in torch."""

    def __init__(
        self, length: int = 128, width: int = 256, heads: int = 4, layers: int = 4, tied: bool = False
    ) -> None:
        super().__init__()
        self.depth, self.tied = layers, tied
        self.positions = nn.ParameterDict({"weight": torch.zeros(1, length, width)})
        for k in range(layers):
            self.add_module(f"layer{k}", GPTLayerTwin(width, heads))
        self.norm = nn.LayerNorm(width)
        if tied:
            self.table = nn.Embedding(TOKENS, width)
        else:
            self.embedding, self.head = nn.Embedding(TOKENS, width), nn.Linear(width, TOKENS, bias=False)

    def forward(self, tokens: Tensor, target: Tensor) -> Tensor:
        x = (self.table if self.tied else self.embedding)(tokens) + self.positions["weight"]
        for k in range(self.depth):
            x = self.get_submodule(f"layer{k}")(x)
        x = self.norm(x)
        y = nn.functional.linear(x, self.table.weight) if self.tied else self.head(x)
        return nn.functional.cross_entropy(y.flatten(0, 1), target.flatten())


def encoder(rows: int = 3, length: int = 6) -> tuple[Network, dict[str, Tensor]]:
    """Two layers and no loss; the last two positions of the first row are padding."""
    layers = {str(k): TransformerEncoderLayer(**ENCODER) for k in range(2)}
    chain = {"src": ["0"], "0": ["1"], "padding": [Feed(name, slot="src_key_padding_mask") for name in layers]}
    stack = Block(layers, chain, inputs=["src", "padding"])
    padding = torch.zeros(rows, length, dtype=torch.bool)
    padding[0, -2:] = True
    generator = torch.Generator().manual_seed(0)
    batch = {"src": torch.rand(rows, length, ENCODER["d_model"], generator=generator), "padding": padding}
    return Network({"layers": stack}, {"src": ["layers"], "padding": ["layers"]}, seed=0), batch


class EncoderTwin(nn.TransformerEncoder):
    """The encoder in torch."""

    def __init__(self) -> None:
        super().__init__(nn.TransformerEncoderLayer(**ENCODER), 2, enable_nested_tensor=False)

    def forward(self, src: Tensor, padding: Tensor) -> Tensor:
        return super().forward(src, src_key_padding_mask=padding)
