"""Training: fit, evaluate, callbacks, metrics and the history."""

from graphdl.training.callbacks import Callback, EarlyStopping, ReduceOnPlateau
from graphdl.training.evaluation import evaluate
from graphdl.training.fit import fit
from graphdl.training.history import History
from graphdl.training.logging import CSVLogger, GradientNorms, JSONLines, TensorBoard
from graphdl.training.metrics import Metric, accuracy
from graphdl.training.minimize import minimize
from graphdl.training.runs import Checkpoint, Run, read_run

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientNorms",
    "History",
    "JSONLines",
    "Metric",
    "ReduceOnPlateau",
    "Run",
    "TensorBoard",
    "accuracy",
    "evaluate",
    "fit",
    "minimize",
    "read_run",
]
