"""Optimizers and schedules: frozen settings. `bind` makes a Stepper, which updates a network."""

from graphdl.optim.adam import Adam, AdamW
from graphdl.optim.gradients import Gathering
from graphdl.optim.numbers import Numbers
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.schedules import Cosine, Exponential, OneCycle, Polynomial, Schedule, StepDecay, Warmup
from graphdl.optim.sgd import SGD
from graphdl.optim.stepper import Stepper

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Cosine",
    "Exponential",
    "Gathering",
    "Numbers",
    "OneCycle",
    "Optimizer",
    "Polynomial",
    "Schedule",
    "StepDecay",
    "Stepper",
    "Warmup",
]
