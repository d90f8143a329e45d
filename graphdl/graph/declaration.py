"""The elements of the two dictionaries: keys, edges with settings, and shared operators."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from graphdl.errors import SettingError
from graphdl.registry import register
from graphdl.settings import Settings

Key: TypeAlias = str | int


@dataclass(frozen=True)
class Feed(Settings):
    """An edge of the connectivity with a slot or a gradient factor.

    slot      the input of the fed node: a position, or a name such as "target"; None takes the next free one
    gradient  the factor of the gradient that flows back along this edge: 0 stops it, a negative number reverses it

    >>> {"target": [Feed("loss", slot="target")], "features": [Feed("domain", gradient=-0.1)]}["target"]
    [Feed(key='loss', slot='target', gradient=1.0)]
    """

    key: Key
    slot: int | str | None = None
    gradient: float = 1.0

    def __post_init__(self) -> None:
        check_key(self.key, "Feed's first argument")
        if self.slot is not None and (isinstance(self.slot, bool) or not isinstance(self.slot, (int, str))):
            raise SettingError(f"{self}: slot must be a position (int) or a name (str), not {self.slot!r}")
        if isinstance(self.gradient, bool) or not isinstance(self.gradient, (int, float)):
            raise SettingError(f"{self}: gradient is the factor of the gradient that flows back and must be a number")
        if not math.isfinite(self.gradient):
            raise SettingError(f"{self}: gradient is the factor of the gradient that flows back and must be finite")


@register
@dataclass(frozen=True)
class Shared(Settings):
    """The operator of another node, with the same parameters. The gradients of all uses add up.

    >>> {"encode_b": Shared("encode_a")}
    {'encode_b': Shared(key='encode_a')}
    """

    key: Key

    def __post_init__(self) -> None:
        check_key(self.key, "Shared's argument")


def check_key(key: object, where: str) -> None:
    """Raise SettingError for a key of a node that is neither str nor int."""
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise SettingError(f"{where} is {key!r}, a {type(key).__name__}: the key of a node must be a str or an int")


def reads(reading: Mapping[Key, Iterable[Key | Feed]]) -> dict[Key, list[Feed]]:
    """Turn "node -> what it reads" into a connectivity, "node -> the nodes it feeds", with explicit slots.

    An entry may be a Feed, to give the edge a gradient factor or a slot other than its position.

    >>> reads({"concat": ["a", "b"]})
    {'a': [Feed(key='concat', slot=0, gradient=1.0)], 'b': [Feed(key='concat', slot=1, gradient=1.0)]}
    """
    if not isinstance(reading, Mapping):
        raise SettingError(
            f"reads takes a dictionary from nodes to what they read, {{'sum': ['a', 'b']}}, not {reading!r}."
        )
    connectivity: dict[Key, list[Feed]] = {}
    for key, sources in reading.items():
        check_key(key, "A key of reads")
        for position, source in enumerate(as_list(sources, f"reads[{key!r}]")):
            feed = as_feed(source, f"reads[{key!r}]")
            slot = position if feed.slot is None else feed.slot
            connectivity.setdefault(feed.key, []).append(Feed(key, slot, feed.gradient))
    return connectivity


def as_list(items: object, where: str) -> list[Key | Feed]:
    """The nodes of a list or a tuple. Raises SettingError for anything else, such as a bare key."""
    if isinstance(items, (list, tuple)):
        return list(items)
    if isinstance(items, (str, int, Feed)):
        raise SettingError(f"{where} is {items!r}: write a list of nodes, such as [{items!r}]")
    raise SettingError(f"{where} is {items!r}, a {type(items).__name__}: write a list of nodes, or [] for none")


def as_feed(edge: object, where: str) -> Feed:
    """A Feed from a Feed, or from the key of the fed node."""
    if isinstance(edge, Feed):
        return edge
    check_key(edge, f"An entry of {where}")
    return Feed(edge)  # type: ignore[arg-type]  # a key by now


def enclosing(key: Key) -> list[str]:
    """The names of the blocks that a node belongs to by its name, outermost first.

    >>> enclosing("encoder/layer1/conv")
    ['encoder', 'encoder/layer1']
    """
    return [head for head, _ in splits(key)]


def splits(key: Key) -> Iterator[tuple[str, str]]:
    """The ways to split a key at a "/", the shortest head first."""
    place = key.find("/") if isinstance(key, str) else -1
    while isinstance(key, str) and place >= 0:
        yield key[:place], key[place + 1 :]
        place = key.find("/", place + 1)
