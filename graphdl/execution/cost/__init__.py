"""What a training step costs, known before anything is allocated: the step is made on tensors without data."""

from graphdl.execution.cost.figures import Cost, NodeCost
from graphdl.execution.cost.planning import plan_cost
from graphdl.execution.cost.rehearsal import Rule

__all__ = ["Cost", "NodeCost", "Rule", "plan_cost"]
