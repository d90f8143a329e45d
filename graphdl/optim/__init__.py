"""Optimizers and schedules: frozen settings. `bind` makes a Stepper, which updates a network."""

from graphdl.optim.adagrad import Adagrad
from graphdl.optim.adam import Adam, AdamW
from graphdl.optim.bfgs import BFGS
from graphdl.optim.gradients import Gathering
from graphdl.optim.lion import Lion
from graphdl.optim.nadam import NAdam
from graphdl.optim.numbers import Numbers, where
from graphdl.optim.optimizer import Optimizer
from graphdl.optim.penalties import L1, L2, Penalty
from graphdl.optim.radam import RAdam
from graphdl.optim.rmsprop import RMSProp
from graphdl.optim.schedules import Cosine, Exponential, OneCycle, Polynomial, Schedule, StepDecay, Warmup
from graphdl.optim.sgd import SGD
from graphdl.optim.stepper import Stepper

__all__ = [
    "BFGS",
    "L1",
    "L2",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Cosine",
    "Exponential",
    "Gathering",
    "Lion",
    "NAdam",
    "Numbers",
    "OneCycle",
    "Optimizer",
    "Penalty",
    "Polynomial",
    "RAdam",
    "RMSProp",
    "Schedule",
    "StepDecay",
    "Stepper",
    "Warmup",
    "where",
]
