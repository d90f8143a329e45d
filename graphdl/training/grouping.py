"""Which parameters move together in a training step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from graphdl.execution.plan import BackwardPlan
from graphdl.graph import Key

GROUP_BYTES = 4 * 2**20
"""How many bytes of gradients are gathered before the parameters move. A small network's all move by one call; a large
one's move on the way, so that its gradients never exist all at once."""


def group_nodes(
    plan: BackwardPlan, nodes: Collection[Key], sizes: Mapping[Key, int], limit: int = GROUP_BYTES
) -> tuple[list[list[Key]], list[Key]]:
    """Split the nodes into groups in the order in which backward passes them; and those that several steps share.

    sizes  node -> bytes of its parameters
    """
    uses = Counter(owner for _, owner in plan.training)
    order = [owner for owner in dict.fromkeys(owner for _, owner in plan.training) if owner in nodes]
    if sum(sizes[node] for node in order) <= limit:
        return [order], []
    groups: list[list[Key]] = [[]]
    gathered = 0
    for node in order:
        if uses[node] > 1:
            continue
        if groups[-1] and gathered + sizes[node] > limit:
            groups.append([])
            gathered = 0
        groups[-1].append(node)
        gathered += sizes[node]
    return [group for group in groups if group], [node for node in order if uses[node] > 1]
