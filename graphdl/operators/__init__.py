"""The base class of operators, and the built-in operators, one module for each family."""

# ruff: noqa: F403

from graphdl.operators import (
    activations,
    binary_losses,
    classification_losses,
    convolution,
    embedding,
    likelihood_losses,
    linear,
    merge,
    normalization,
    pooling,
    ranking_losses,
    regression_losses,
    regularization,
    sequence_losses,
    structure,
)
from graphdl.operators.activations import *
from graphdl.operators.binary_losses import *
from graphdl.operators.classification_losses import *
from graphdl.operators.convolution import *
from graphdl.operators.embedding import *
from graphdl.operators.likelihood_losses import *
from graphdl.operators.linear import *
from graphdl.operators.loss import Loss
from graphdl.operators.merge import *
from graphdl.operators.normalization import *
from graphdl.operators.operator import EVERYTHING, Buffer, Operator, Parameter
from graphdl.operators.pooling import *
from graphdl.operators.ranking_losses import *
from graphdl.operators.regression_losses import *
from graphdl.operators.regularization import *
from graphdl.operators.sequence_losses import *
from graphdl.operators.structure import *

__all__ = ["EVERYTHING", "Buffer", "Loss", "Operator", "Parameter"]
__all__ += activations.__all__
__all__ += binary_losses.__all__
__all__ += classification_losses.__all__
__all__ += convolution.__all__
__all__ += embedding.__all__
__all__ += likelihood_losses.__all__
__all__ += linear.__all__
__all__ += merge.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
__all__ += ranking_losses.__all__
__all__ += regression_losses.__all__
__all__ += regularization.__all__
__all__ += sequence_losses.__all__
__all__ += structure.__all__
