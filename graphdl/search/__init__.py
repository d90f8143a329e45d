"""Search: many networks trained side by side, over hyperparameters, seeds, folds and structures."""

from graphdl.search.fit_all import fit_all
from graphdl.search.halving import Halving
from graphdl.search.result import Sweep
from graphdl.search.space import Random
from graphdl.search.spec import sweep_file
from graphdl.search.sweep import sweep

__all__ = ["Halving", "Random", "Sweep", "fit_all", "sweep", "sweep_file"]
