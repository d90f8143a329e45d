"""The layers of a Transformer, as Blocks."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from graphdl.errors import SettingError
from graphdl.graph import Block, Feed, Key
from graphdl.operators import GELU, Dropout, LayerNorm, Linear, MultiheadAttention, Operator, ReLU, Sum

ActivationName: TypeAlias = Literal["relu", "gelu"]


def TransformerEncoderLayer(  # noqa: N802  # reads as the class of torch.nn
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: ActivationName | Operator = "relu",
    layer_norm_eps: float = 1e-5,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    *,
    is_causal: bool = False,
) -> Block:
    """Self-attention and a perceptron, each beside a shortcut: a Block from "src" to an output of the same shape.

    y = norm1(x + dropout1(self_attn(x))), z = norm2(y + dropout2(f(y))) with f = linear2, dropout, activation, linear1;
    with norm_first y = x + dropout1(self_attn(norm1(x))), z = y + dropout2(f(norm2(y))).

    src (t, n, d_model), or (n, t, d_model) with batch_first. "src_mask" and "src_key_padding_mask" are optional inputs,
    with the meaning that MultiheadAttention gives attn_mask and key_padding_mask; is_causal, in torch an argument of
    the call, lets each position read from earlier ones only. activation is "relu", "gelu" or an operator. The nodes are
    called as in torch.nn, so that its state_dict carries over: "layer.linear1.weight" there is "layer/linear1.weight"
    here. Source: Vaswani et al., "Attention is all you need", 2017.

    >>> from graphdl import Network
    >>> net = Network({"layer": TransformerEncoderLayer(8, 2, 16, batch_first=True)}, {"x": ["layer"]}, seed=0)
    >>> net.inputs, net.parameters["layer/linear1.weight"].shape
    (('x',), torch.Size([16, 8]))
    """
    layer = _Layer(d_model, dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias)
    heads = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, is_causal=is_causal)
    y = layer.attend("src", "self_attn", heads, 1, None, "src_mask", "src_key_padding_mask")
    return layer.block(layer.feed_forward(y, 2), ["src", "src_mask", "src_key_padding_mask"])


def TransformerDecoderLayer(  # noqa: N802  # reads as the class of torch.nn
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: ActivationName | Operator = "relu",
    layer_norm_eps: float = 1e-5,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    *,
    tgt_is_causal: bool = False,
) -> Block:
    """Self-attention, attention to "memory" and a perceptron, each beside a shortcut: a Block from "tgt" to its output.

    As TransformerEncoderLayer, with y = norm2(y + dropout2(multihead_attn(y, memory, memory))) in the middle; the last
    norm and dropout are norm3 and dropout3. "tgt_mask", "memory_mask", "tgt_key_padding_mask" and
    "memory_key_padding_mask" are optional inputs, in the order of torch.nn's arguments.

    >>> from graphdl import Network
    >>> net = Network({"layer": TransformerDecoderLayer(8, 2, 16)}, {"x": ["layer"], "encoded": ["layer"]}, seed=0)
    >>> net.inputs
    ('x', 'encoded')
    """
    layer = _Layer(d_model, dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias)
    heads = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, is_causal=tgt_is_causal)
    others = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
    y = layer.attend("tgt", "self_attn", heads, 1, None, "tgt_mask", "tgt_key_padding_mask")
    z = layer.attend(y, "multihead_attn", others, 2, "memory", "memory_mask", "memory_key_padding_mask")
    masks = ["tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask"]
    return layer.block(layer.feed_forward(z, 3), ["tgt", "memory", *masks])


class _Layer:
    """Declares a layer, sublayer by sublayer; each is fed by a node and returns the node of its output."""

    def __init__(
        self, width: int, hidden: int, dropout: float, activation: Any, eps: float, norm_first: bool, bias: bool
    ) -> None:
        named = {"relu": ReLU(), "gelu": GELU()}
        if not isinstance(activation, Operator) and activation not in list(named):
            raise SettingError(f"activation must be 'relu', 'gelu' or an operator such as Tanh(), not {activation!r}")
        self.activation = activation if isinstance(activation, Operator) else named[activation]
        self.width, self.hidden, self.dropout, self.norm_first, self.bias = width, hidden, dropout, norm_first, bias
        self.eps = eps
        self.operators: dict[Key, Operator] = {}
        self.connectivity: dict[Key, list[Key | Feed]] = {}

    def add(self, name: str, operator: Operator, *sources: str) -> str:
        """Declare a node, and the nodes that feed it in order."""
        self.operators[name] = operator
        for k, source in enumerate(sources):
            self.connectivity.setdefault(source, []).append(Feed(name, slot=k))
        return name

    def beside(self, x: str, k: int, branch: Any) -> str:
        """The k-th sublayer: a branch beside a shortcut, normalized before or after."""
        norm = LayerNorm(self.width, self.eps, bias=self.bias)
        start = self.add(f"norm{k}", norm, x) if self.norm_first else x
        end = self.add(f"dropout{k}", Dropout(self.dropout), branch(start))
        joined = self.add(f"sum{k}", Sum(), x, end)
        return joined if self.norm_first else self.add(f"norm{k}", norm, joined)

    def attend(
        self, x: str, name: str, heads: MultiheadAttention, k: int, memory: str | None, mask: str, padding: str
    ) -> str:
        """The sublayer of attention, to itself or to a memory."""
        found = self.beside(x, k, lambda start: self.add(name, heads, start, *[memory or start] * 2))
        self.connectivity[mask] = [Feed(name, slot="attn_mask")]
        self.connectivity[padding] = [Feed(name, slot="key_padding_mask")]
        return found

    def feed_forward(self, x: str, k: int) -> str:
        """The sublayer of the perceptron."""

        def branch(start: str) -> str:
            hidden = self.add("linear1", Linear(self.width, self.hidden, self.bias), start)
            active = self.add("dropout", Dropout(self.dropout), self.add("activation", self.activation, hidden))
            return self.add("linear2", Linear(self.hidden, self.width, self.bias), active)

        return self.beside(x, k, branch)

    def block(self, end: str, inputs: list[str]) -> Block:
        """The layer, declared in the order of its nodes."""
        return Block(self.operators, self.connectivity, inputs=inputs, outputs=[end])
