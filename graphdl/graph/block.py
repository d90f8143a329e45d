"""Block: a network inside a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from graphdl.errors import GraphDLError, SettingError, UnknownNodeError, did_you_mean, listing
from graphdl.graph.declaration import Feed, Key, Shared
from graphdl.graph.declared import normalise_connectivity, normalise_operators
from graphdl.graph.level import Entry, Level, Nested, check_distinct, checked_names
from graphdl.registry import meant_class, register
from graphdl.slots import InputSlot

MOST_NESTED = 64
"""How deeply blocks may be nested: the functions that walk through them are recursive."""


@register
@dataclass(frozen=True, eq=False, repr=False)
class Block(Nested):
    """A network inside a network: two dictionaries that stand as one node in `operators`.

    operators, connectivity  as of a Network. They may hold Blocks. No edge and no Shared in them leads out of the block
    inputs   the names of its inputs, in the order of its slots. Default: the inputs of a Network of the two
             dictionaries, if their order is clear: those written in `connectivity`, or those of one node
    outputs  its output nodes; an input among them is passed on. Default: its sinks

    When a network is built, the block "layer1" is replaced by its nodes, called "layer1/conv" and so on. Each use of a
    block has its own parameters; `Shared("layer1")` has those of "layer1".

    An edge into a block feeds one of its inputs, by position or by name: `Feed("layer1", slot="skip")`. An input that
    nothing feeds becomes an input of the network, "layer1/skip", or nothing if it feeds optional slots only. An edge
    from the block's key starts at its output. The nodes inside feed others under their full names, as in
    `{"layer1/conv": ["probe"]}`; so do the outputs of a block with several. Where edges outside and inside form one,
    their gradient factors are multiplied.

    `slots` and `results` are the inputs and outputs as they were found. A Block is immutable; an edited one is a copy,
    `dataclasses.replace(block, operators={**block.operators, "act": Tanh()})`.

    Errors: those of Network for its dictionaries; SettingError if the order of the inputs is not clear, or if blocks
    are nested more than 64 deep; UnknownNodeError for inputs or outputs that it does not have.

    >>> from graphdl import Linear, Network, Tanh
    >>> layer = Block({"fc": Linear(4, 4), "tanh": Tanh()}, {"x": ["fc"], "fc": ["tanh"]})
    >>> net = Network({"first": layer, "second": layer}, {"x": ["first"], "first": ["second"]})
    >>> net.order
    ('x', 'first/fc', 'first/tanh', 'second/fc', 'second/tanh')
    """

    operators: Mapping[Key, Any]
    connectivity: Mapping[Key, Sequence[Key | Feed]]
    inputs: Sequence[Key] | None = field(default=None, kw_only=True)
    outputs: Sequence[Key] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        try:
            operators = normalise_operators(self.operators)
            for key, operator in operators.items():
                if isinstance(operator, type) or not (isinstance(operator, Shared) or hasattr(operator, "slots")):
                    raise SettingError(not_an_operator(key, operator))
            object.__setattr__(self, "operators", MappingProxyType(operators))
            object.__setattr__(self, "connectivity", MappingProxyType(normalise_connectivity(self.connectivity)))
            for name in ("inputs", "outputs"):
                if (given := getattr(self, name)) is not None:
                    object.__setattr__(self, name, checked_names(given, name))
            if self.level.depth > MOST_NESTED:
                raise SettingError(f"blocks are nested more than {MOST_NESTED} deep: write fewer levels.")
            check_distinct([*self.level.given, *operators])
            _ = self.entries
        except GraphDLError as error:
            raise type(error)(f"In a Block: {error}") from None

    @cached_property
    def level(self) -> Level:
        """What is known of its dictionaries."""
        return Level(self.operators, self.connectivity, self.outputs)  # type: ignore[arg-type]  # normalised by now

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Where its inputs lead, in the order of its slots."""
        return _entries(self.level, self.inputs)

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(self.entries)

    def __eq__(self, other: object) -> bool:
        return self._held() == other._held() if isinstance(other, Block) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._held())

    def _held(self) -> tuple[Any, ...]:
        """All that it is; the order of both dictionaries counts."""
        return tuple(self.operators.items()), tuple(self._edges()), self.inputs, self.outputs

    def __repr__(self) -> str:
        ends = [f", {name}={held!r}" for name in ("inputs", "outputs") if (held := getattr(self, name)) is not None]
        edges = {key: [feed.key if feed == Feed(feed.key) else feed for feed in fed] for key, fed in self._edges()}
        return f"Block({dict(self.operators)!r}, {edges!r}{''.join(ends)})"

    def _edges(self) -> Iterable[tuple[Key, tuple[Feed, ...]]]:
        return self.level.connectivity.items()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (dict(self.operators), dict(self.connectivity), self.inputs, self.outputs)


def _restored(operators: Any, connectivity: Any, inputs: Any, outputs: Any) -> Block:
    return Block(operators, connectivity, inputs=inputs, outputs=outputs)


def _entries(level: Level, inputs: Sequence[Key] | None) -> dict[str, Entry]:
    """The inputs of a block by name, in the order of its slots."""
    known = {str(key): Entry(key) for key in level.given} | level.unfed
    if inputs is None:
        nodes = {entry.key for entry in level.unfed.values()}
        if len(known) > 1 and (len(nodes) > 1 or (nodes and level.given)):
            raise SettingError(
                f"the order of its inputs {listing(map(repr, known))} is not clear: say it, inputs={list(known)!r}. "
                "Inputs left out there become inputs of the network."
            )
        inputs = tuple(known)
    entries: dict[str, Entry] = {}
    for name in map(str, inputs):
        if name not in known and name not in level.absent:
            why = f"{name!r} is a node that is fed" if name in level.names else f"{name!r} is not an input"
            raise UnknownNodeError(
                f"inputs names {name!r}, but {why}.{did_you_mean(name, known)} Nothing feeds "
                f"{listing(map(repr, known)) or 'from outside'}."
            )
        entry = known.get(name) or level.absent[name]
        optional = name in level.absent or (entry.slot is None and entry.key in level.optional)
        entries[InputSlot(name, optional=optional)] = entry
    return entries


def not_an_operator(key: Key, operator: object) -> str:
    """The text of the error for an entry of operators that is none; often a class without its parentheses."""
    if isinstance(operator, type):
        return f"operators[{key!r}] is the class {operator.__name__}: write {operator.__name__}(...)."
    if operator is None:
        return f"operators[{key!r}] is None: write Identity() for a node that changes nothing, or leave the node out."
    name = operator if isinstance(operator, str) else getattr(operator, "__name__", type(operator).__name__)
    kind = f"{type(operator).__module__}.{type(operator).__qualname__}".removeprefix("builtins.")
    return (
        f"operators[{key!r}] is a {kind}: a node computes a graphdl.Operator, such as Linear(2, 25), or a Block, or is "
        f"Shared(...).{meant_class(name)}"
    )
