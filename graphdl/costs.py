"""What a network's training costs, as methods of the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from graphdl.cost import Cost, Rule, plan_cost
from graphdl.execution.engine import Engine
from graphdl.graph import Key


class Costed:
    """A network that tells what its training costs."""

    engine: Engine

    def cost(
        self, inputs: Mapping[Key, Any], optimizer: Rule | None = None, *, recompute: Collection[Key] = ()
    ) -> Cost:
        """What a training step of `fit` costs, in operations and in bytes, before anything is allocated.

        inputs     {input: shape with the batch axis, or tensor}; of shapes, indices are found by who reads them
        optimizer  None plans gradients and no states
        recompute  nodes that keep nothing for backward, which computes them again

        The figures are those of `graphdl.Cost`; print it for a table. Sizes that were left out are inferred, and the
        network stays as it is. Errors: MissingInputError, UnknownNodeError, SettingError, and ShapeError, which names
        the node. Operators must run on meta tensors.

        >>> from graphdl import Linear, MSELoss, Network
        >>> from graphdl.optim import Adam
        >>> operators = {"fc": Linear(out_features=25), "loss": MSELoss()}
        >>> net = Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]})
        >>> cost = net.cost({"x": (50, 2), "target": (50, 25)}, Adam())
        >>> cost.nodes["fc"].forward_flops, cost.nodes["fc"].parameters, cost.nodes["fc"].states
        (5000, 300, 600)
        """
        return plan_cost(self.engine, inputs, optimizer, recompute)
