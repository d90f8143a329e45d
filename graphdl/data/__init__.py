"""Data sets, their splits, and batches for training."""

from __future__ import annotations

from graphdl.data.batches import Batches
from graphdl.data.digits import digits
from graphdl.data.idx import mnist, read_idx
from graphdl.data.splits import split
from graphdl.data.synthetic import disc, line, one_hot, spiral

__all__ = ["Batches", "digits", "disc", "line", "mnist", "one_hot", "read_idx", "spiral", "split"]
