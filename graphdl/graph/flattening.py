"""Flattening: every block is replaced by its nodes, under names such as "layer1/conv". Linear in nodes and edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from graphdl.errors import CycleError, SettingError, listing, path_text
from graphdl.graph.block import Block
from graphdl.graph.declaration import Feed, Key, Shared
from graphdl.graph.declared import check_connected, incoming_edges
from graphdl.graph.level import Level
from graphdl.graph.wiring import assign_slots
from graphdl.slots import role_of

if TYPE_CHECKING:
    from graphdl.graph.declared import Edge

T = TypeVar("T")


@dataclass
class Flat:
    """A network without blocks.

    operators  node -> operator or Shared, in the order in which they are declared
    inputs     the inputs that are nodes
    incoming   node -> the edges into it, in the order in which they are written
    blocks     the key of each block -> its output nodes
    """

    operators: dict[Key, Any] = field(default_factory=dict)
    inputs: list[Key] = field(default_factory=list)
    incoming: dict[Key, list[Edge]] = field(default_factory=dict)
    blocks: dict[Key, tuple[Key, ...]] = field(default_factory=dict)

    def outgoing(self) -> dict[Key, tuple[Feed, ...]]:
        """Node -> the edges out of it."""
        found: dict[Key, list[Feed]] = {}
        for edges in self.incoming.values():
            for source, feed in edges:
                found.setdefault(source, []).append(feed)
        return {key: tuple(feeds) for key, feeds in found.items()}


def flatten(operators: Mapping[Key, Any], connectivity: Mapping[Key, tuple[Feed, ...]]) -> Flat:
    """Replace the blocks of two normalised dictionaries by their nodes.

    Errors: those of a Block for its two dictionaries; ArityError and DuplicateSlotError for edges into a block,
    SettingError for an edge from a block with several outputs or for a name that is taken, CycleError for blocks that
    pass their inputs on to each other.
    """
    if not any(isinstance(each, Block) for each in operators.values()):
        given = [key for key in connectivity if key not in operators]
        flat = Flat(dict(operators), given, incoming_edges(operators, connectivity))
        check_connected(operators, connectivity, flat.incoming)
        return flat
    flat = Flat()
    top = Place(Level(operators, connectivity))
    top.declare(flat)
    top.bind()
    for place in top.walk():
        place.connect(flat)
    for place in top.walk():
        if place.outer is not None:
            flat.blocks[place.key] = tuple(_value(place, result) for result in place.level.results)
    return flat


class Place:
    """One use of a block, or the network itself.

    key    its name in the whole network; `path` is the start of the names of its nodes
    inner  key of a block -> its place
    bound  input -> the edge that feeds it: the place and key of its source, and the gradient factor
    extra  node -> edges from outside: place, source, feed
    """

    def __init__(self, level: Level, key: Key = "", outer: Place | None = None, shares: str | None = None) -> None:
        self.level, self.key, self.outer, self.shares = level, key, outer, shares
        self.path = "" if outer is None else f"{key}/"
        self.inner: dict[Key, Place] = {}
        self.bound: dict[Key, tuple[Place, Key, float]] = {}
        self.extra: dict[Key, list[tuple[Place, Key, Feed]]] = {}
        self.optional: frozenset[Key] = frozenset()

    def name(self, key: Key) -> Key:
        """The name of a node in the whole network."""
        return key if self.outer is None else f"{self.path}{key}"

    def walk(self) -> Iterator[Place]:
        """This place and those within it."""
        yield self
        for inner in self.inner.values():
            yield from inner.walk()

    def declare(self, flat: Flat) -> None:
        """Write the operators of this place and those within it."""
        for key, each in self.level.operators.items():
            name, block = self.name(key), self.level.computed[key]
            shares: Key | None = None if self.shares is None else f"{self.shares}{key}"
            if shares is None and isinstance(each, Shared):
                shares = self.name(each.key)
            if isinstance(block, Block):
                source = None if shares is None else f"{shares}/"
                self.inner[key] = place = Place(block.level, name, self, source)
                used = {entry.key for entry in block.entries.values() if entry.slot is None}
                place.optional = block.level.optional & used
                place.declare(flat)
            else:
                flat.operators[name] = each if shares is None else Shared(shares)

    def edges(self, key: Key) -> list[tuple[Place, Key, Feed]]:
        """The edges into a node, with the places of their sources."""
        return [*((self, source, feed) for source, feed in self.level.incoming[key]), *self.extra.get(key, ())]

    def bind(self) -> None:
        """Hand the edges into each block on to its inputs."""
        for key, inner in self.inner.items():
            block: Block = self.level.computed[key]
            edges = self.edges(key)
            slots = assign_slots(self.name(key), block, [(source, feed) for _, source, feed in edges], frozenset)
            entries = list(block.entries.values())
            for slot, (origin, source, feed) in zip(slots, edges, strict=True):
                entry = entries[slot]
                if entry.slot is None:
                    inner.bound[entry.key] = origin, source, feed.gradient
                else:
                    edge = origin, source, Feed(entry.key, entry.slot, feed.gradient)
                    inner.extra.setdefault(entry.key, []).append(edge)
            inner.bind()

    def connect(self, flat: Flat) -> None:
        """Write the edges into the operators of this place, and the inputs that nothing feeds."""
        flat.inputs.extend(
            self.name(key) for key in self.level.given if key not in self.bound and key not in self.optional
        )
        for key in self.level.operators:
            if key in self.inner:
                continue
            name, edges = self.name(key), self.edges(key)
            found = [_resolve(origin, source) for origin, source, _ in edges]
            feeds = [feed for _, _, feed in edges]
            if None in found:
                feeds = self._with_slots(key, feeds)
            flat.incoming[name] = [
                (source[0], Feed(name, feed.slot, feed.gradient * source[1]))
                for source, feed in zip(found, feeds, strict=True)
                if source is not None
            ]

    def _with_slots(self, key: Key, feeds: list[Feed]) -> list[Feed]:
        """The edges into a node with their slots, so that they stay where they are if one of them is left out."""
        names = self.level.computed[key].slots
        slots = self.level.slots[key]
        pinned = [
            feed if feed.slot is not None or role_of(names[slot]) else Feed(feed.key, slot, feed.gradient)
            for slot, feed in zip(slots, feeds, strict=False)
        ]
        return [*pinned, *feeds[len(pinned) :]]


def _value(place: Place, key: Key) -> Key:
    found = _resolve(place, key)
    assert found is not None  # an input that is passed on is not optional
    return found[0]


def _resolve(place: Place, key: Key) -> tuple[Key, float] | None:
    """The node or input whose value a key means at a place, and the gradient factor on the way to it.

    None for an optional input that nothing feeds.
    """
    factor = 1.0
    passed: dict[tuple[str, Key], Key] = {}
    while True:
        located = place.level.located(key)
        assert located is not None  # Level has checked every source
        for head in located[0]:
            place = place.inner[head]
        key = located[1]
        if (place.path, key) in passed:
            path = path_text([*passed.values(), place.name(key)])
            raise CycleError(f"These blocks pass their inputs on to each other, and nothing computes a value: {path}.")
        passed[place.path, key] = place.name(key)
        if key in place.inner:
            key, place = _only_output(place, key), place.inner[key]
        elif key in place.level.operators:
            return place.name(key), factor
        elif key in place.bound:
            place, key, further = place.bound[key]
            factor *= further
        else:
            return None if key in place.optional else (place.name(key), factor)


def _only_output(place: Place, key: Key) -> Key:
    results = place.level.computed[key].results
    if len(results) == 1:
        only: Key = results[0]
        return only
    name = place.name(key)
    outputs = [f"{name}/{result}" for result in results]
    raise SettingError(
        f"The block {name} has the outputs {listing(map(repr, outputs))}: an edge starts at one of them, "
        f"{{{outputs[0]!r}: [...]}}, or the block gets outputs=[...] with one node."
    )


def with_sizes(declared: Mapping[Key, T], sized: Mapping[Key, T], path: str = "") -> dict[Key, T]:
    """Declared operators with those of `sized`, named as in the flat network, in their places."""
    found: dict[Key, Any] = {}
    for key, each in declared.items():
        name: Key = f"{path}{key}" if path else key
        if isinstance(each, Block):
            inner = with_sizes(each.operators, sized, f"{name}/")
            same = all(inner[k] is each.operators[k] for k in inner)
            found[key] = each if same else Block(inner, each.connectivity, inputs=each.inputs, outputs=each.outputs)
        else:
            found[key] = sized.get(name, each)
    return found
