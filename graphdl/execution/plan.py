"""The graph as a flat list: which values each step reads and writes, and which are not read after it.

Every value of a pass has an index: first the inputs, then the operators in topological order.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from graphdl.graph import Key, ancestors, passes_gradient
from graphdl.operators import Operator
from graphdl.settings import MOST_CLASSES

if TYPE_CHECKING:
    from graphdl.graph.build import Graph


Send: TypeAlias = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Step:
    """One node's place in the list.

    reads, writes  the indexes of its inputs and of its output
    factors        of the gradients that it sends to its inputs; 0 for those that have none
    frees          the indexes that no later step reads
    frozen         whether it runs as in inference, in training too
    """

    key: Key
    operator: Operator
    owner: Key
    reads: tuple[int, ...]
    factors: tuple[float, ...]
    writes: int
    frees: tuple[int, ...] = ()
    frozen: bool = False

    @property
    def name(self) -> str:
        """The node with its operator, for the text of an error; once if both have the same name."""
        kind = type(self.operator).__name__
        return kind if self.key == kind else f"{self.key} ({kind})"

    @property
    def draws(self) -> bool:
        """Whether the operator draws random numbers."""
        return _draws(type(self.operator))

    @property
    def takes_out(self) -> bool:
        """Whether the operator's forward can write into given memory."""
        return _takes(type(self.operator).forward, "out")


@lru_cache(maxsize=MOST_CLASSES)
def _draws(operator: type[Operator]) -> bool:
    return operator.draw is not Operator.draw


@lru_cache(maxsize=MOST_CLASSES)
def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    return name in inspect.signature(function).parameters


@dataclass(frozen=True)
class Plan:
    """The steps that compute some nodes, in order.

    inputs   name -> index, of the inputs that these nodes need
    index    node -> index of its value
    steps    one per operator, each after all that it reads
    targets  the nodes that are wanted
    """

    inputs: dict[Key, int]
    index: dict[Key, int]
    steps: tuple[Step, ...]
    targets: tuple[Key, ...]

    @property
    def size(self) -> int:
        """How many values a pass has, with the last one, which is always None: what an empty optional slot reads."""
        return len(self.inputs) + len(self.steps) + 1

    @property
    def absent(self) -> int:
        """The index of the value that is always None."""
        return self.size - 1

    @cached_property
    def owners(self) -> frozenset[Key]:
        """The nodes whose parameters the steps use."""
        return frozenset(step.owner for step in self.steps)

    @cached_property
    def drawing(self) -> frozenset[int]:
        """The positions of the steps that draw random numbers."""
        return frozenset(k for k, step in enumerate(self.steps) if step.draws)

    @cached_property
    def reusing(self) -> frozenset[int]:
        """The positions of the steps whose operators can write into given memory."""
        return frozenset(k for k, step in enumerate(self.steps) if step.takes_out)


def make_plan(
    graph: Graph,
    order: Iterable[Key],
    operators: Mapping[Key, Operator],
    targets: Collection[Key],
    frozen: Collection[Key] = (),
) -> Plan:
    """Number the values and list the steps that the targets need; `operators` and `frozen` name owners."""
    needed = ancestors(graph, targets)
    ordered = [key for key in order if key in needed]
    nodes = graph.nodes
    inputs: dict[Key, int] = {}
    for key in ordered:
        names = nodes[key]["implicit"].values() if nodes[key]["operator"] is not None else (key,)
        for name in names:
            inputs[name] = len(inputs)
    index = {key: inputs[key] for key in ordered if nodes[key]["operator"] is None}
    computed = [key for key in ordered if nodes[key]["operator"] is not None]
    index.update((key, len(inputs) + position) for position, key in enumerate(computed))
    absent = len(inputs) + len(computed)
    steps = [_step(graph, key, inputs, index, operators, frozen, absent) for key in computed]
    kept = {absent, *(index[key] for key in targets)}
    return Plan(inputs, index, _free_after_last_use(steps, kept), tuple(targets))


def _step(
    graph: Graph,
    key: Key,
    inputs: Mapping[Key, int],
    index: Mapping[Key, int],
    operators: Mapping[Key, Operator],
    frozen: Collection[Key],
    absent: int,
) -> Step:
    node = graph.nodes[key]
    reads = [absent] * node["reads"]
    owner, factors = node["owner"], [0.0] * node["reads"]
    for slot, name in node["implicit"].items():
        reads[slot] = inputs[name]
        factors[slot] = float(passes_gradient(operators[owner], slot))
    for source, edges in graph.pred[key].items():
        for edge in edges.values():
            reads[edge["slot"]] = index[source]
            if passes_gradient(operators[owner], edge["slot"]):
                factors[edge["slot"]] = edge["gradient"]
    return Step(key, operators[owner], owner, tuple(reads), tuple(factors), index[key], frozen=owner in frozen)


def _free_after_last_use(steps: list[Step], kept: set[int]) -> tuple[Step, ...]:
    """Give each step the values that are neither read later nor wanted."""
    seen = set(kept)
    freed: list[Step] = []
    for step in reversed(steps):
        last = tuple(dict.fromkeys(i for i in step.reads if i not in seen))
        seen.update(last)
        freed.append(replace(step, frees=last))
    return tuple(reversed(freed))


@dataclass(frozen=True, slots=True)
class BackwardStep:
    """One node's share of the backward pass.

    position  of the node's step in the plan
    sends     (slot, index of the source's value, factor) of each input whose gradient is wanted
    needs     the names of the slots and parameters whose gradients are wanted, or None if its backward takes no needs
    """

    position: int
    step: Step
    sends: tuple[Send, ...]
    needs: frozenset[str] | None


@dataclass(frozen=True)
class BackwardPlan:
    """The steps of a backward pass, last node first: only those on a path from a start to something wanted.

    forward   the plan of the values
    starts    the indexes of the values whose gradients are given
    training  (position, owner) of the steps whose parameters receive a gradient
    """

    forward: Plan
    starts: tuple[int, ...]
    steps: tuple[BackwardStep, ...]
    training: tuple[tuple[int, Key], ...]

    @cached_property
    def owners(self) -> tuple[Key, ...]:
        """The nodes whose parameters receive a gradient, in the order in which it arrives."""
        return tuple(dict.fromkeys(owner for _, owner in self.training))

    @cached_property
    def positions(self) -> frozenset[int]:
        """The positions of the steps whose parameters receive a gradient."""
        return frozenset(position for position, _ in self.training)

    @cached_property
    def shared(self) -> frozenset[Key]:
        """Those that several steps give a gradient."""
        uses = Counter(owner for _, owner in self.training)
        return frozenset(owner for owner in uses if uses[owner] > 1)


def make_backward_plan(
    plan: Plan, starts: Iterable[Key], trainable: Mapping[Key, frozenset[str]], wanted: Collection[Key]
) -> BackwardPlan:
    """Keep the steps that lead from the starting nodes to a trainable parameter or to a wanted input.

    trainable  owner -> names of its parameters, of the nodes that are not frozen
    wanted     the inputs whose gradients are wanted
    """
    useful = [False] * plan.size
    for name in wanted:
        useful[plan.inputs[name]] = True
    for step in plan.steps:
        useful[step.writes] = bool(trainable.get(step.owner)) or any(
            useful[i] and factor != 0 for i, factor in zip(step.reads, step.factors, strict=True)
        )
    starts = tuple(starts)
    reached = [False] * plan.size
    for key in starts:
        reached[plan.index[key]] = True
    steps = []
    for position in reversed(range(len(plan.steps))):
        step = plan.steps[position]
        if not (reached[step.writes] and useful[step.writes]):
            continue
        sends = tuple(
            (slot, i, factor)
            for slot, (i, factor) in enumerate(zip(step.reads, step.factors, strict=True))
            if useful[i] and factor != 0
        )
        for _, i, _ in sends:
            reached[i] = True
        steps.append(BackwardStep(position, step, sends, _needs(step, sends, trainable)))
    training = tuple((entry.position, entry.step.owner) for entry in steps if trainable.get(entry.step.owner))
    return BackwardPlan(plan, tuple(plan.index[key] for key in starts), tuple(steps), training)


def _needs(step: Step, sends: tuple[Send, ...], trainable: Mapping[Key, frozenset[str]]) -> frozenset[str] | None:
    if not _takes(type(step.operator).backward, "needs"):
        return None
    names = step.operator.slots
    slots = frozenset(names[slot] if names is not None else str(slot) for slot, _, _ in sends)
    return slots | trainable.get(step.owner, frozenset())
