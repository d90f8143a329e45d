"""Blocks that many networks are made of: Sequential and Residual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from graphdl.errors import SettingError
from graphdl.graph import Block, Key, Shared
from graphdl.operators import Operator, Sum

Element: TypeAlias = Operator | Shared | Block


def Sequential(*operators: Element, **named: Element) -> Block:  # noqa: N802  # reads as the class of torch.nn
    """A Block of nodes that feed each other in order: `Sequential(Linear(2, 8), Tanh())`.

    The nodes are called "0", "1", ... as in torch.nn.Sequential, or by keywords: `Sequential(fc=..., act=...)`. The
    input is called "input" and feeds the first slot of the first node. Other slots that must be fed, such as the target
    of a loss, become inputs of the network.

    Raises SettingError if it is empty.

    >>> from graphdl import Linear, Network, Tanh
    >>> net = Network({"net": Sequential(Linear(2, 8), Tanh(), Linear(8, 1))}, {"x": ["net"]})
    >>> list(net.parameters)
    ['net/0.weight', 'net/0.bias', 'net/2.weight', 'net/2.bias']
    """
    nodes = _nodes("Sequential", operators, named)
    return Block(nodes, {"input": [next(iter(nodes))], **_chain(nodes)}, inputs=["input"])


def Residual(*operators: Element, shortcut: Element | None = None, **named: Element) -> Block:  # noqa: N802
    """A Block that adds its input, or shortcut(input), to what its operators compute: y = x + f(x).

    The operators of f feed each other in order and are called as in Sequential; the other nodes are "shortcut" and
    "sum".

    Raises SettingError if it has no operators or one of them is called "input" or "sum".
    Source: He et al., Deep residual learning for image recognition, 2016.

    >>> from graphdl import Linear, Network, ReLU
    >>> layer = Residual(Linear(8, 8), ReLU())
    >>> net = Network({"layer1": layer, "layer2": layer}, {"x": ["layer1"], "layer1": ["layer2"]})
    >>> net.order[:4]
    ('x', 'layer1/0', 'layer1/1', 'layer1/sum')
    """
    nodes = _nodes("Residual", operators, named)
    skip: dict[Key, Element] = {} if shortcut is None else {"shortcut": shortcut}
    for name in {"shortcut", "sum"} & nodes.keys():
        raise SettingError(f"Residual: {name!r} is the name of another node of the block: rename this operator.")
    first, last = next(iter(nodes)), next(reversed(nodes))
    connectivity: dict[Key, list[Key]] = {"input": ["shortcut" if skip else "sum", first]}
    connectivity |= {**{key: ["sum"] for key in skip}, **_chain(nodes), last: ["sum"]}
    return Block({**nodes, **skip, "sum": Sum()}, connectivity, inputs=["input"], outputs=["sum"])


def _nodes(what: str, operators: Sequence[Element], named: dict[str, Element]) -> dict[Key, Element]:
    """The operators by name, in order."""
    nodes: dict[Key, Element] = {str(k): each for k, each in enumerate(operators)}
    nodes.update(named)
    if not nodes:
        raise SettingError(f"{what} is empty: give at least one operator, such as {what}(Linear(2, 8)).")
    if "input" in nodes:
        raise SettingError(f"{what}: 'input' is the name of the block's input: rename this operator.")
    return nodes


def _chain(nodes: Iterable[Key]) -> dict[Key, list[Key]]:
    """Each node feeds the next."""
    return {key: [following] for key, following in pairwise(nodes)}
