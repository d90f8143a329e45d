"""graphdl: a neural network is two dictionaries, what each node computes and whom it feeds."""

from graphdl import data, errors, initializers, optim
from graphdl.errors import GraphDLError
from graphdl.gradients import check_gradients
from graphdl.graph import Feed, Shared, reads
from graphdl.network import Network
from graphdl.operators import (
    EVERYTHING,
    BCEWithLogitsLoss,
    Buffer,
    Concat,
    CrossEntropyLoss,
    Identity,
    Item,
    L1Loss,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Loss,
    Mean,
    MSELoss,
    Operator,
    Parameter,
    Product,
    RectifiedTanh,
    ReLU,
    Sigmoid,
    Softmax,
    Subtract,
    Sum,
    Tanh,
)
from graphdl.registry import register
from graphdl.training import EarlyStopping, History, evaluate, fit

__version__ = "0.1.0"

__all__ = [
    "EVERYTHING",
    "BCEWithLogitsLoss",
    "Buffer",
    "Concat",
    "CrossEntropyLoss",
    "EarlyStopping",
    "Feed",
    "GraphDLError",
    "History",
    "Identity",
    "Item",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "Mean",
    "Network",
    "Operator",
    "Parameter",
    "Product",
    "ReLU",
    "RectifiedTanh",
    "Shared",
    "Sigmoid",
    "Softmax",
    "Subtract",
    "Sum",
    "Tanh",
    "check_gradients",
    "data",
    "errors",
    "evaluate",
    "fit",
    "initializers",
    "optim",
    "reads",
    "register",
]
