"""Operators: their base class, and one module per family."""

# ruff: noqa: F403

from graphdl.operators import (
    activations,
    adaptive_pooling,
    arithmetic,
    arrangement,
    attention,
    batch_normalization,
    binary_losses,
    classification_losses,
    convolution,
    elementary,
    embedding,
    embedding_bag,
    leaves,
    likelihood_losses,
    linear,
    matmul,
    merge,
    multihead,
    normalization,
    piecewise,
    pooling,
    positions,
    ranking_losses,
    recurrent,
    reductions,
    regression_losses,
    regularization,
    resampling,
    reshaping,
    selection,
    sequence_losses,
    similarity,
    softmax,
    structure,
    transposed_convolution,
    weighted,
)
from graphdl.operators.activations import *
from graphdl.operators.adaptive_pooling import *
from graphdl.operators.arithmetic import *
from graphdl.operators.arrangement import *
from graphdl.operators.attention import *
from graphdl.operators.batch_normalization import *
from graphdl.operators.binary_losses import *
from graphdl.operators.classification_losses import *
from graphdl.operators.convolution import *
from graphdl.operators.elementary import *
from graphdl.operators.embedding import *
from graphdl.operators.embedding_bag import *
from graphdl.operators.leaves import *
from graphdl.operators.likelihood_losses import *
from graphdl.operators.linear import *
from graphdl.operators.matmul import *
from graphdl.operators.merge import *
from graphdl.operators.multihead import *
from graphdl.operators.normalization import *
from graphdl.operators.operator import EVERYTHING, Buffer, Operator, Parameter
from graphdl.operators.piecewise import *
from graphdl.operators.pooling import *
from graphdl.operators.positions import *
from graphdl.operators.ranking_losses import *
from graphdl.operators.recurrent import *
from graphdl.operators.reductions import *
from graphdl.operators.regression_losses import *
from graphdl.operators.regularization import *
from graphdl.operators.resampling import *
from graphdl.operators.reshaping import *
from graphdl.operators.selection import *
from graphdl.operators.sequence_losses import *
from graphdl.operators.shared.activation import Activation
from graphdl.operators.shared.loss import Loss
from graphdl.operators.similarity import *
from graphdl.operators.softmax import *
from graphdl.operators.structure import *
from graphdl.operators.transposed_convolution import *
from graphdl.operators.weighted import *

__all__ = ["EVERYTHING", "Activation", "Buffer", "Loss", "Operator", "Parameter"]
__all__ += activations.__all__
__all__ += adaptive_pooling.__all__
__all__ += arithmetic.__all__
__all__ += arrangement.__all__
__all__ += attention.__all__
__all__ += batch_normalization.__all__
__all__ += binary_losses.__all__
__all__ += classification_losses.__all__
__all__ += convolution.__all__
__all__ += elementary.__all__
__all__ += embedding.__all__
__all__ += embedding_bag.__all__
__all__ += leaves.__all__
__all__ += likelihood_losses.__all__
__all__ += linear.__all__
__all__ += matmul.__all__
__all__ += merge.__all__
__all__ += multihead.__all__
__all__ += normalization.__all__
__all__ += piecewise.__all__
__all__ += pooling.__all__
__all__ += positions.__all__
__all__ += ranking_losses.__all__
__all__ += recurrent.__all__
__all__ += reductions.__all__
__all__ += regression_losses.__all__
__all__ += regularization.__all__
__all__ += resampling.__all__
__all__ += reshaping.__all__
__all__ += selection.__all__
__all__ += sequence_losses.__all__
__all__ += similarity.__all__
__all__ += softmax.__all__
__all__ += structure.__all__
__all__ += transposed_convolution.__all__
__all__ += weighted.__all__
