"""Update rules: frozen settings, bound to a network by `bind`."""

from graphdl.optim.adam import Adam, AdamW
from graphdl.optim.optimizer import Optimizer, Stepper
from graphdl.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "Stepper"]
