"""The names that the code of the tables uses."""

# ruff: noqa: F401, F403, F405

import copy
import itertools
import json
import threading
import unittest.mock
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import graphdl
from graphdl import *
from graphdl.data import *
from graphdl.initializers import Normal
from graphdl.operators import Parameter
from graphdl.optim import *
from graphdl.plots import *
from graphdl.search import *

X, Y = torch.linspace(-1, 1, 16).view(8, 2), torch.eye(2).repeat(4, 1)
labels = torch.arange(8) % 3
images = torch.ones(4, 3, 8, 8)


def chain(*targets, **operators):
    """Operators one after the other, from the input x on; `targets` are inputs of the last one."""
    names = ["x", *operators]
    edges = {a: [b] for a, b in itertools.pairwise(names)} | {target: [names[-1]] for target in targets}
    return Network(operators, edges, seed=0)


def mlp():
    return chain("y", fc1=Linear(2, 8), tanh=Tanh(), fc2=Linear(8, 2), loss=MSELoss())


def classifier(**settings):
    return chain("y", fc=Linear(2, 3), loss=CrossEntropyLoss(**settings))


def binary(loss):
    return chain("y", fc=Linear(2, 1), loss=loss)


def train(net, inputs=None, targets=None, **settings):
    given = {"optimizer": Adam(lr=1e-3), "epochs": 1, "batch_size": 4, "progress": False} | settings
    return fit(net, {"x": X, "y": Y} if inputs is None else inputs, targets, **given)
