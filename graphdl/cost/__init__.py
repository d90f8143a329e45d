"""What a training step costs, known before anything is allocated: the step is made on tensors without data."""

from graphdl.cost.figures import Cost, NodeCost
from graphdl.cost.planning import plan_cost
from graphdl.cost.rehearsal import Rule

__all__ = ["Cost", "NodeCost", "Rule", "plan_cost"]
