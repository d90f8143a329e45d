"""What is known of two declared dictionaries without looking into the blocks that they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphdl.errors import CycleError, SettingError, UnknownNodeError, did_you_mean, listing
from graphdl.graph.declaration import Feed, Key, Shared, splits
from graphdl.graph.declared import (
    check_connected,
    incoming_edges,
    owners_by_key,
    shared_cycle,
    unknown_shared,
)
from graphdl.graph.wiring import assign_slots, unfed_slots
from graphdl.slots import is_optional

MOST_ENDS = 100_000
"""The inputs, or outputs, that the blocks of a level may have beyond one each."""


class Nested(ABC):
    """What holds another level: a Block."""

    @property
    @abstractmethod
    def level(self) -> Level:
        """What is known of its dictionaries."""

    @property
    def results(self) -> tuple[Key, ...]:
        """The output nodes; those of an inner block are called "inner/node"."""
        return self.level.results


@dataclass(frozen=True)
class Entry:
    """Where an input of a block leads: to an input of its dictionaries, or (slot is not None) to a slot of a node."""

    key: Key
    slot: int | None = None


class Level:
    """Two dictionaries with the blocks in them as nodes: what is found out about them without looking into the blocks.

    computed  node -> the operator or the block that it computes, which is another node's for Shared
    blocks    str(key) -> key, of the nodes that are blocks
    incoming  node -> the edges into it
    unfed     name -> where it leads, of the slots that nothing feeds; `absent`: of those that are optional
    given     the inputs: keys of the connectivity that are neither operators nor lead into a block
    optional  the inputs that feed optional slots only
    results   the output nodes
    """

    def __init__(
        self, operators: Mapping[Key, Any], connectivity: Mapping[Key, tuple[Feed, ...]], outputs: object = None
    ) -> None:
        self.operators, self.connectivity = operators, connectivity
        candidates = {str(key): key for key, each in operators.items() if isinstance(each, (Nested, Shared))}
        self.computed = _computed(operators, candidates)
        self.blocks = {name: key for name, key in candidates.items() if isinstance(self.computed[key], Nested)}
        self.depth = 1 + max((self.computed[key].level.depth for key in self.blocks.values()), default=0)
        self._check_names()
        self._check_ends()
        self.incoming = incoming_edges(operators, connectivity, self._holder)
        self.given = tuple(key for key in connectivity if key not in operators and self._is_input(key))
        self.names: dict[str, Key] = {str(key): key for key in (*self.given, *operators)}
        feeding = {self._top(key) for key, fed in connectivity.items() if fed}
        inside = {key for key in connectivity if self._holder(key) is not None}
        sinks = tuple(key for key in operators if key not in feeding)
        self.results = sinks if outputs is None else checked_names(outputs, "outputs")
        for key in self.results:
            self._check_name(key, f"outputs names {key!r}")
        used = feeding | inside if outputs is None else {*feeding, *inside, *map(self._top, self.results)}
        check_connected(operators, connectivity, self.incoming, used)
        self.results = tuple(inner for key in self.results for inner in self._ends(key))
        self._find_unfed()

    def _holder(self, key: Key) -> Key | None:
        """The block that a key leads into: 'layer1' for 'layer1/conv'; None for a key that leads into none."""
        for head, _ in splits(key) if self.blocks and key not in self.operators else ():
            if head in self.blocks:
                return self.blocks[head]
        return None

    def _top(self, key: Key) -> Key:
        """The node of this level that a key names or leads into."""
        holder = self._holder(key)
        return key if holder is None else holder

    def _check_names(self) -> None:
        for key in self.operators if self.blocks else ():
            for head, _ in splits(key):
                if head in self.blocks:
                    raise SettingError(
                        f"operators has the node {key!r} beside the block {head!r}, whose nodes are called "
                        f"'{head}/...': put the node into the block, or rename one of them."
                    )
        if self.blocks:
            check_distinct(self.operators)

    def _check_ends(self) -> None:
        """Refuse blocks with too many inputs or outputs: by default those within a block are its own, and multiply."""
        blocks = [self.computed[key] for key in self.blocks.values()]
        for count, what in (
            ((len(each.slots) for each in blocks), "inputs"),
            ((len(each.results) for each in blocks), "outputs"),
        ):
            if sum(count) > MOST_ENDS + len(blocks):
                raise SettingError(f"its blocks have more than {MOST_ENDS:,} {what}: name those of each, {what}=[...]")

    def _is_input(self, key: Key) -> bool:
        """Whether a key that is not an operator is an input; UnknownNodeError for an unknown node inside a block."""
        if self._holder(key) is None:
            return True
        self._check_name(key, f"connectivity has the key {key!r}")
        return False

    def _check_name(self, key: Key, what: str) -> None:
        """Refuse a name that is not a node, or an input inside a block that is not one of its outputs."""
        place, holder = self.located(key), self._holder(key)
        if place is None:
            inner = {} if holder is None else self.computed[holder].level.computed
            known = [*self.operators] if holder is None else [f"{holder}/{name}" for name in inner]
            raise UnknownNodeError(
                f"{what}, which is not a node.{did_you_mean(key, known)} The nodes "
                f"{'are' if holder is None else f'in the block {holder} are'} {listing(map(repr, known))}."
            )
        if place[0] and self.node(key) is None and place[1] not in self._within(place[0]).results:
            raise UnknownNodeError(f"{what}, which is an input of a block: name what feeds it.")

    def located(self, key: Key) -> tuple[list[Key], Key] | None:
        """The blocks that a key leads through, and the node or input in the last one."""
        level, heads = self, list[Key]()
        if key in self.operators or (key in self.connectivity and self._holder(key) is None):
            return heads, key
        while isinstance(key, str):
            if heads and key in level.names:
                return heads, level.names[key]
            for head, rest in splits(key):
                if head in level.blocks:
                    heads.append(level.blocks[head])
                    level, key = level.computed[heads[-1]].level, rest
                    break
            else:
                break
        return None

    def node(self, key: Key) -> Any:
        """The operator or the block that a located key computes; None for an input."""
        place = self.located(key)
        return None if place is None else self._within(place[0]).computed.get(place[1])

    def _within(self, heads: Iterable[Key]) -> Level:
        """The level inside these blocks, one in the other."""
        level = self
        for head in heads:
            level = level.computed[head].level
        return level

    def _ends(self, key: Key) -> tuple[Key, ...]:
        """An output as nodes: those of a block with several are named one by one."""
        block = self.node(key)
        if isinstance(block, Nested) and len(block.results) != 1:
            return tuple(f"{key}/{inner}" for inner in block.results)
        return (key,)

    def _find_unfed(self) -> None:
        self.unfed: dict[str, Entry] = {}
        self.absent: dict[str, Entry] = {}
        self.slots: dict[Key, list[int]] = {}
        required: set[Key] = set()
        taken: set[Key] = {*self.operators, *self.connectivity}
        for key, each in self.computed.items():
            edges = self.incoming[key]
            fed = self.slots[key] = assign_slots(key, each, edges, frozenset)
            names = each.slots
            for (source, _), slot in zip(edges, fed, strict=True):
                if names is None or not is_optional(names[slot]):
                    required.add(source)
            if isinstance(each, Nested):
                for slot in sorted({*range(len(names))}.difference(fed)):
                    kind = self.absent if is_optional(names[slot]) else self.unfed
                    kind[f"{key}/{names[slot]}"] = Entry(key, slot)
            else:
                implicit, absent = unfed_slots(key, names, fed, taken)
                self.unfed.update((str(name), Entry(key, slot)) for slot, name in implicit.items())
                self.absent.update((f"{key}.{names[slot]}", Entry(key, slot)) for slot in absent)
        required.update(self.results)
        self.optional = frozenset(key for key in self.given if key not in required)


def _computed(operators: Mapping[Key, Any], candidates: Mapping[str, Key]) -> dict[Key, Any]:
    """Node -> the operator or the block that it computes. Errors: UnknownNodeError and CycleError for Shared."""

    def inside(key: Key) -> bool:
        return bool(candidates) and any(head in candidates for head, _ in splits(key))

    owners = owners_by_key(operators, inside)
    found: dict[Key, Any] = {}

    def of(key: Key, path: tuple[Key, ...] = ()) -> Any:
        owner = owners[key]
        if owner not in found:
            each = operators[owner]
            if owner in path:
                raise CycleError(shared_cycle([*path[path.index(owner) :], owner]))
            found[owner] = within(owner, each, (*path, owner)) if isinstance(each, Shared) else each
        return found[owner]

    def within(key: Key, shared: Shared, path: tuple[Key, ...]) -> Any:
        for head, rest in splits(shared.key):
            block = of(candidates[head], path) if head in candidates else None
            each = block.level.node(block.level.names.get(rest, rest)) if isinstance(block, Nested) else None
            if each is not None:
                return each
        raise UnknownNodeError(unknown_shared(key, shared, operators))

    return {key: of(key) for key in operators}


def check_distinct(keys: Iterable[Key]) -> None:
    """Raise SettingError for an int and an equal str: inside a block, or as blocks, their names would be the same."""
    named: dict[str, Key] = {}
    for key in keys:
        if named.setdefault(str(key), key) != key:
            raise SettingError(
                f"the nodes {named[str(key)]!r} and {key!r} would have the same name: rename one of them"
            )


def checked_names(given: object, what: str) -> tuple[Key, ...]:
    """A list of names, each once."""
    keys = tuple(given) if isinstance(given, (list, tuple)) else ()
    if not isinstance(given, (list, tuple)) or any(isinstance(k, bool) or not isinstance(k, (str, int)) for k in keys):
        raise SettingError(f"{what} must be a list of names, such as {what}=['x'], not {given!r}")
    if len({str(key) for key in keys}) < len(keys):
        raise SettingError(f"{what} names a node twice: {list(keys)!r}")
    if what == "outputs" and not keys:
        raise SettingError("outputs must name at least one node")
    return keys
