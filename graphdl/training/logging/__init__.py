"""Callbacks that write down how training goes: CSV, JSON lines, TensorBoard, and the norms of gradients."""

from graphdl.training.logging.files import CSVLogger, JSONLines
from graphdl.training.logging.norms import GradientNorms
from graphdl.training.logging.tensorboard import TensorBoard

__all__ = ["CSVLogger", "GradientNorms", "JSONLines", "TensorBoard"]
