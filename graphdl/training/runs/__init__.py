"""Training runs in folders: checkpoints, from which the same call of fit continues bit for bit."""

from graphdl.training.runs.checkpoint import Checkpoint
from graphdl.training.runs.reading import Run, read_run

__all__ = ["Checkpoint", "Run", "read_run"]
