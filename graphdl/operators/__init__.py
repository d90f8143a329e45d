"""The contract of an operator, and the operators, one family a file."""

from graphdl.operators.activations import (
    LeakyReLU,
    LogSoftmax,
    RectifiedTanh,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from graphdl.operators.linear import Linear
from graphdl.operators.losses import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, Loss, MSELoss
from graphdl.operators.merge import Concat, Mean, Product, Subtract, Sum
from graphdl.operators.operator import EVERYTHING, Buffer, Operator, Parameter
from graphdl.operators.structure import Identity, Item

__all__ = [
    "EVERYTHING",
    "BCEWithLogitsLoss",
    "Buffer",
    "Concat",
    "CrossEntropyLoss",
    "Identity",
    "Item",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "Mean",
    "Operator",
    "Parameter",
    "Product",
    "ReLU",
    "RectifiedTanh",
    "Sigmoid",
    "Softmax",
    "Subtract",
    "Sum",
    "Tanh",
]
