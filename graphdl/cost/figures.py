"""The figures of what a training step costs."""

from __future__ import annotations

from dataclasses import dataclass

from graphdl.cost.table import cost_table
from graphdl.graph import Key


@dataclass(frozen=True)
class NodeCost:
    """What one node costs in a training step: operations and bytes.

    forward_flops, backward_flops   those of a recomputed node's second forward are in backward_flops
    parameters, gradients, states   of the parameters that it owns, those of the optimizer last
    value    its output, whether it is kept or not
    saved    what it keeps for backward and nothing before it has kept; parameters and inputs are there anyway
    recomputed  whether backward computes it again
    """

    forward_flops: int = 0
    backward_flops: int = 0
    parameters: int = 0
    gradients: int = 0
    states: int = 0
    value: int = 0
    saved: int = 0
    recomputed: bool = False


@dataclass(frozen=True)
class Cost:
    """What a training step costs: print it, or read its figures. Memory is in bytes.

    nodes   node -> NodeCost
    inputs, buffers  what these take
    held    what stays from step to step: parameters, buffers, the optimizer's states, the memory into which gradients
            are written, and the inputs
    peak    the most that lives at once in a step
    peak_without   the same if nothing were recomputed
    replayed  whether the network is so small that fit records its step and replays it, in buffers that stay

    The memory of gradients is less than their sum where a large network's parameters move during backward.
    A multiply-add of a matrix product or a convolution counts as 2 operations. Every other kernel counts one for each
    element it returns, and one that only moves numbers none. The optimizer's update is left out.

    >>> from graphdl import Linear, MSELoss, Network
    >>> from graphdl.optim import Adam
    >>> operators = {"fc": Linear(out_features=25), "loss": MSELoss()}
    >>> net = Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]})
    >>> cost = net.cost({"x": (50, 2), "target": (50, 25)}, Adam())
    >>> cost.nodes["fc"].forward_flops, cost.nodes["fc"].parameters, cost.nodes["fc"].states
    (5000, 300, 600)
    """

    nodes: dict[Key, NodeCost]
    inputs: int
    buffers: int
    held: int
    peak: int
    peak_without: int
    replayed: bool

    @property
    def forward_flops(self) -> int:
        """Operations of forward."""
        return sum(node.forward_flops for node in self.nodes.values())

    @property
    def backward_flops(self) -> int:
        """Operations of backward, those of computing nodes again with them."""
        return sum(node.backward_flops for node in self.nodes.values())

    @property
    def flops(self) -> int:
        """Operations of forward and backward."""
        return self.forward_flops + self.backward_flops

    @property
    def recomputed_flops(self) -> int:
        """Operations of computing nodes again."""
        return sum(node.forward_flops for node in self.nodes.values() if node.recomputed)

    @property
    def parameters(self) -> int:
        """Bytes of all parameters."""
        return sum(node.parameters for node in self.nodes.values())

    @property
    def gradients(self) -> int:
        """Bytes of the gradients of all parameters that train."""
        return sum(node.gradients for node in self.nodes.values())

    @property
    def states(self) -> int:
        """Bytes of the optimizer's states."""
        return sum(node.states for node in self.nodes.values())

    @property
    def saved(self) -> int:
        """Bytes that forward keeps for backward."""
        return sum(node.saved for node in self.nodes.values())

    @property
    def activations(self) -> int:
        """Bytes of the peak above what stays: values, what backward needs, and gradients on their way."""
        return self.peak - self.held

    @property
    def gained(self) -> int:
        """Bytes by which recomputing lowers the peak."""
        return self.peak_without - self.peak

    def __str__(self) -> str:
        return str(cost_table(self))

    def _repr_html_(self) -> str:
        return cost_table(self)._repr_html_()
