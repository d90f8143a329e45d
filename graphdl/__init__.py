"""graphdl: a neural network is two dictionaries, what each node computes and whom it feeds."""

from graphdl import data, errors, initializers, operators, optim
from graphdl.blocks import Residual, Sequential
from graphdl.cost import Cost
from graphdl.errors import GraphDLError
from graphdl.gradients import check_gradients
from graphdl.graph import Block, Feed, Shared, reads
from graphdl.network import Network
from graphdl.operators import *  # noqa: F403  # each family lists its operators in __all__
from graphdl.registry import register
from graphdl.slots import InputSlot
from graphdl.training import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    GradientNorms,
    History,
    JSONLines,
    ReduceOnPlateau,
    TensorBoard,
    evaluate,
    fit,
    minimize,
    read_run,
)
from graphdl.transformer import TransformerDecoderLayer, TransformerEncoderLayer

__version__ = "0.1.0"

__all__ = [
    "Block",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "Cost",
    "EarlyStopping",
    "Feed",
    "GradientNorms",
    "GraphDLError",
    "History",
    "InputSlot",
    "JSONLines",
    "Network",
    "ReduceOnPlateau",
    "Residual",
    "Sequential",
    "Shared",
    "TensorBoard",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "check_gradients",
    "data",
    "errors",
    "evaluate",
    "fit",
    "initializers",
    "minimize",
    "optim",
    "read_run",
    "reads",
    "register",
]
__all__ += operators.__all__
