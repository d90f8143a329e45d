"""Which edge feeds which slot, and what happens to the slots that nothing feeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from graphdl.errors import ArityError, DuplicateSlotError, did_you_mean, listing
from graphdl.graph.declaration import Feed, Key
from graphdl.slots import is_optional, kind_of, role_of

if TYPE_CHECKING:
    Edge: TypeAlias = tuple[Key, Feed]


class HasSlots(Protocol):
    """What wiring needs of an operator or a block: its slots."""

    @property
    def slots(self) -> tuple[str, ...] | None:
        """The names of the inputs, in order; None for any number."""
        ...


class Computes(HasSlots, Protocol):
    """What the graph needs of an operator: its slots, and which gradients there are."""

    @property
    def trains(self) -> bool:
        """Whether the operator has parameters."""
        ...

    @property
    def differentiable(self) -> bool:
        """Whether there are gradients of the inputs that are floating-point numbers."""
        ...


def assign_slots(key: Key, operator: HasSlots, edges: list[Edge], trained: Callable[[], Collection[Key]]) -> list[int]:
    """The slot of every edge.

    Edges that name a slot take it; the others take the free slots in the order in which they are written. Of two
    unnamed edges into a loss, the one that training can change is the prediction; if that is both or neither, the order
    decides.

    trained  returns the nodes whose values training can change; called for losses only
    """
    names = operator.slots
    if names is not None and len(edges) > len(names):
        raise ArityError(_arity_text(key, operator, edges))
    width = len(edges) if names is None else len(names)
    claimed = _claimed(key, operator, edges, width)
    named = set(claimed.values())
    free = [slot for slot in range(width) if slot not in named]
    unnamed = [k for k in range(len(edges)) if k not in claimed]
    if len(unnamed) == 2 and names is not None:
        free[:2] = _by_role([role_of(names[slot]) for slot in free[:2]], free[:2], [edges[k] for k in unnamed], trained)
    claimed.update(zip(unnamed, free, strict=False))
    return [claimed[k] for k in range(len(edges))]


def _claimed(key: Key, operator: HasSlots, edges: list[Edge], width: int) -> dict[int, int]:
    """Position of an edge -> its slot, for the edges that name one."""
    claimed: dict[int, int] = {}
    sources: dict[int, Key] = {}
    for k, (source, feed) in enumerate(edges):
        if feed.slot is None:
            continue
        slot = _slot_position(key, operator, source, feed.slot, width)
        if slot in sources:
            raise DuplicateSlotError(
                f"{key} ({type(operator).__name__}): slot {feed.slot!r} is fed by both {sources[slot]} and {source}. "
                "Give each edge its own slot."
            )
        sources[slot], claimed[k] = source, slot
    return claimed


def _by_role(
    roles: list[str | None], slots: list[int], edges: list[Edge], trained: Callable[[], Collection[Key]]
) -> list[int]:
    """The slots of a prediction and a target in the order of the two edges that feed them."""
    if set(roles) != {"prediction", "target"}:
        return slots
    reached = trained()
    changes = [source in reached and feed.gradient != 0 for source, feed in edges]
    if changes[0] == changes[1]:
        return slots
    prediction, target = slots[roles.index("prediction")], slots[roles.index("target")]
    return [prediction, target] if changes[0] else [target, prediction]


def nodes_that_train(
    operators: Mapping[Key, Computes], connectivity: Mapping[Key, tuple[Feed, ...]], owners: Mapping[Key, Key]
) -> set[Key]:
    """The nodes that have parameters, or that have an ancestor with parameters along edges that pass a gradient."""
    reached = {key for key, owner in owners.items() if operators[owner].trains}
    frontier = list(reached)
    while frontier:
        for feed in connectivity.get(frontier.pop(), ()):
            if feed.gradient != 0 and feed.key not in reached and _passes_any(operators[owners[feed.key]], feed.slot):
                reached.add(feed.key)
                frontier.append(feed.key)
    return reached


def passes_gradient(operator: Computes, slot: int) -> bool:
    """Whether there is a gradient of what feeds a slot."""
    kind = None if operator.slots is None else kind_of(operator.slots[slot])
    return operator.differentiable and kind not in ("integer", "boolean")


def _passes_any(operator: Computes, slot: int | str | None) -> bool:
    """Whether there is a gradient of what feeds a slot as an edge names it; of any slot if it names none."""
    names = operator.slots
    if names is None:
        return operator.differentiable
    position = names.index(slot) if slot in names else slot
    if isinstance(position, int) and position in range(len(names)):
        return passes_gradient(operator, position)
    return any(passes_gradient(operator, each) for each in range(len(names)))


def _slot_position(key: Key, operator: HasSlots, source: Key, slot: int | str, width: int) -> int:
    names = operator.slots
    if isinstance(slot, str) and names is not None and slot in names:
        return int(names.index(slot))
    if isinstance(slot, int) and 0 <= slot < width:
        return slot
    expected = f"0 to {width - 1}" if width > 1 else "0"
    if names is None:
        expected += f", one for each of its {width} edges" if width > 1 else ", for its one edge"
    else:
        expected += f", or {listing(map(repr, names))}"
    raise ArityError(
        f"{key} ({type(operator).__name__}) has no slot {slot!r}, and {source} feeds that slot."
        f"{did_you_mean(slot, names or ())} Its slots are {expected}."
    )


def _arity_text(key: Key, operator: HasSlots, edges: list[Edge]) -> str:
    names = operator.slots or ()
    if not names:
        fed = listing(source for source, _ in edges)
        return f"{key} ({type(operator).__name__}) reads no input and is fed by {fed}: remove the edge"
    takes = "1 input" if len(names) == 1 else f"{len(names)} inputs ({', '.join(names)})"
    sources = listing(source for source, _ in edges)
    return f"{key} ({type(operator).__name__}) takes {takes} and is fed by {sources}: put a Sum or a Concat between"


def unfed_slots(
    key: Key, names: tuple[str, ...] | None, fed: list[int], taken: set[Key]
) -> tuple[dict[int, Key], tuple[int, ...]]:
    """Return ({slot: name of the input that it becomes}, the optional slots that stay unfed).

    Such an input is named after the node, and "node.slot" if several slots are unfed.

    taken  the names of all nodes and inputs so far; the new names are added
    """
    width = len(fed) or 1 if names is None else len(names)
    if len(fed) == width:
        return {}, ()
    if names is None:
        return {0: key}, ()
    unfed = [slot for slot in range(width) if slot not in fed]
    absent = tuple(slot for slot in unfed if is_optional(names[slot]))
    unfed = [slot for slot in unfed if slot not in absent]
    if len(unfed) < 2:
        return dict.fromkeys(unfed, key), absent
    implicit: dict[int, Key] = {slot: f"{key}.{names[slot]}" for slot in unfed}
    for name in implicit.values():
        if name in taken:
            raise ArityError(
                f"{key}: nothing feeds its slots {listing(names[slot] for slot in unfed)}, so each becomes an input, "
                f"but the name {name!r} is already used. Feed them from inputs named in connectivity."
            )
        taken.add(name)
    return implicit, absent
