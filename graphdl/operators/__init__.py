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
from graphdl.operators.convolution import Conv2d
from graphdl.operators.embedding import Embedding
from graphdl.operators.linear import Linear
from graphdl.operators.losses import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, Loss, MSELoss
from graphdl.operators.merge import Concat, Mean, Product, Subtract, Sum
from graphdl.operators.normalization import BatchNorm1d, BatchNorm2d, LayerNorm
from graphdl.operators.operator import EVERYTHING, Buffer, Operator, Parameter
from graphdl.operators.pooling import AdaptiveAvgPool2d, MaxPool2d
from graphdl.operators.regularization import Dropout
from graphdl.operators.structure import Flatten, Identity, Item

__all__ = [
    "EVERYTHING",
    "AdaptiveAvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Concat",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "Item",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "MaxPool2d",
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
