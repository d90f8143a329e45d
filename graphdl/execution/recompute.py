"""Which nodes a training step computes twice, so that nothing of them is kept in between.

Connected nodes to be recomputed form a segment. Forward keeps nothing of a segment but what enters it from outside, and
what its operators drew and read of their buffers. Backward computes the whole segment again before it first needs
something of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from graphdl.execution.plan import BackwardPlan, Step
from graphdl.graph import Key


@dataclass(frozen=True)
class Recomputation:
    """What is computed again, and when.

    positions  of the steps in the plan
    inputs     the indexes of the values that are kept for it
    before     position of a backward step -> (position, step) of those computed again before it; a step's frees are the
               values that are not needed after it
    """

    positions: frozenset[int]
    inputs: frozenset[int]
    before: dict[int, list[tuple[int, Step]]]


def make_recomputation(plan: BackwardPlan, nodes: Collection[Key]) -> Recomputation | None:
    """Find the segments of these nodes. Those that backward does not visit keep nothing anyway, and are left out."""
    visited = [entry.position for entry in plan.steps if entry.step.key in nodes]
    if not visited:
        return None
    steps = {k: plan.forward.steps[k] for k in sorted(visited)}
    segment = _segments(steps)
    members: dict[int, list[int]] = {}
    for k in steps:
        members.setdefault(segment[k], []).append(k)
    own = {step.writes for step in steps.values()}
    inputs = frozenset(i for step in steps.values() for i in step.reads if i not in own)
    order: list[tuple[int, int]] = []  # (position of the backward step, position of the step computed before it)
    for k in visited:
        order += [(k, member) for member in members.pop(segment[k], ())]
    kept = {plan.forward.index[key] for key in plan.forward.targets}
    before: dict[int, list[tuple[int, Step]]] = {}
    for first, k in reversed(order):
        step = steps[k]
        last = tuple(dict.fromkeys(i for i in (*step.reads, step.writes) if i not in kept))
        kept.update(last)
        before.setdefault(first, []).insert(0, (k, replace(step, frees=last)))
    return Recomputation(frozenset(steps), inputs, before)


def fingerprint(value: Any) -> tuple[Any, ...]:
    """A fingerprint of a value: different values almost surely have different ones."""
    if isinstance(value, tuple):
        return tuple(fingerprint(element) for element in value)
    if not isinstance(value, Tensor) or value.is_meta:
        return ()
    numbers = value.detach().reshape(-1).double()
    weights = numbers.new_ones(()).expand_as(numbers).cumsum(0).remainder(97)
    found = numbers.dot(weights).item()
    return (tuple(value.shape), found if found == found else "nan")


def _segments(steps: dict[int, Step]) -> dict[int, int]:
    """Position -> a number of its segment: steps belong together if one reads what the other writes."""
    writer = {step.writes: k for k, step in steps.items()}
    parent = {k: k for k in steps}

    def find(k: int) -> int:
        while parent[k] != k:
            parent[k] = k = parent[parent[k]]
        return k

    for k, step in steps.items():
        for i in step.reads:
            if i in writer:
                parent[find(writer[i])] = find(k)
    return {k: find(k) for k in steps}
