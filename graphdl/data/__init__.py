"""Data sets, their splits, and batches for training."""

from __future__ import annotations

from graphdl.data.batches import Batches
from graphdl.data.digits import digits
from graphdl.data.idx import mnist, read_idx
from graphdl.data.splits import kfold, split
from graphdl.data.synthetic import ball, disc, line, one_hot, spiral, with_sum_of_squares
from graphdl.data.weights import class_weights

__all__ = [
    "Batches",
    "ball",
    "class_weights",
    "digits",
    "disc",
    "kfold",
    "line",
    "mnist",
    "one_hot",
    "read_idx",
    "spiral",
    "split",
    "with_sum_of_squares",
]
