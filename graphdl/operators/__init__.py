"""The base class of operators, and the built-in operators, one module for each family."""

# ruff: noqa: F403

from graphdl.operators import (
    activations,
    adaptive_pooling,
    attention,
    convolution,
    elementary,
    embedding,
    embedding_bag,
    linear,
    merge,
    multihead,
    normalization,
    piecewise,
    pooling,
    positions,
    reductions,
    regularization,
    similarity,
    structure,
    transposed_convolution,
)
from graphdl.operators.activation import Activation
from graphdl.operators.activations import *
from graphdl.operators.adaptive_pooling import *
from graphdl.operators.attention import *
from graphdl.operators.convolution import *
from graphdl.operators.elementary import *
from graphdl.operators.embedding import *
from graphdl.operators.embedding_bag import *
from graphdl.operators.linear import *
from graphdl.operators.loss import Loss
from graphdl.operators.merge import *
from graphdl.operators.multihead import *
from graphdl.operators.normalization import *
from graphdl.operators.operator import EVERYTHING, Buffer, Operator, Parameter
from graphdl.operators.piecewise import *
from graphdl.operators.pooling import *
from graphdl.operators.positions import *
from graphdl.operators.reductions import *
from graphdl.operators.regularization import *
from graphdl.operators.similarity import *
from graphdl.operators.structure import *
from graphdl.operators.transposed_convolution import *

__all__ = ["EVERYTHING", "Activation", "Buffer", "Operator", "Parameter"]
__all__ += activations.__all__
__all__ += adaptive_pooling.__all__
__all__ += attention.__all__
__all__ += convolution.__all__
__all__ += elementary.__all__
__all__ += embedding.__all__
__all__ += embedding_bag.__all__
__all__ += linear.__all__
__all__ += merge.__all__
__all__ += multihead.__all__
__all__ += normalization.__all__
__all__ += piecewise.__all__
__all__ += pooling.__all__
__all__ += positions.__all__
__all__ += reductions.__all__
__all__ += regularization.__all__
__all__ += similarity.__all__
__all__ += structure.__all__
__all__ += transposed_convolution.__all__
