"""The base class of operators, and the built-in operators, one module for each family."""

# ruff: noqa: F403

from graphdl.operators import (
    activations,
    convolution,
    embedding,
    linear,
    losses,
    merge,
    normalization,
    pooling,
    recurrent,
    regularization,
    structure,
)
from graphdl.operators.activations import *
from graphdl.operators.convolution import *
from graphdl.operators.embedding import *
from graphdl.operators.linear import *
from graphdl.operators.losses import *
from graphdl.operators.merge import *
from graphdl.operators.normalization import *
from graphdl.operators.operator import EVERYTHING, Buffer, Operator, Parameter
from graphdl.operators.pooling import *
from graphdl.operators.recurrent import *
from graphdl.operators.regularization import *
from graphdl.operators.structure import *

__all__ = ["EVERYTHING", "Buffer", "Operator", "Parameter"]
__all__ += activations.__all__
__all__ += convolution.__all__
__all__ += embedding.__all__
__all__ += linear.__all__
__all__ += losses.__all__
__all__ += merge.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
__all__ += recurrent.__all__
__all__ += regularization.__all__
__all__ += structure.__all__
