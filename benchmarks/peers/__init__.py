"""The contestants of `step`: each trains the perceptron in its own way, from the same parameters.

Every maker takes the problem and returns `train(epochs) -> the mean loss of each epoch`. Absent ones raise Absent or
ImportError.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers.with_c import c_program
from benchmarks.peers.with_graphdl import graphdl_compiled, graphdl_fit, graphdl_own_loop, graphdl_steps
from benchmarks.peers.with_jax import jax_scan, jax_steps
from benchmarks.peers.with_sklearn import sklearn_mlp
from benchmarks.peers.with_torch import torch_compiled, torch_default, torch_fused
from benchmarks.perceptron import Problem, Train

REFERENCE = "graphdl fit"

PEERS: dict[str, Callable[[Problem], Train]] = {
    REFERENCE: graphdl_fit,
    "graphdl fit, compiled": graphdl_compiled,
    "graphdl net.compile": graphdl_steps,
    "graphdl, own loop": graphdl_own_loop,
    "torch eager, Adam": torch_default,
    "torch eager, Adam(fused=True)": torch_fused,
    "torch.compile, Adam(fused=True)": torch_compiled,
    "JAX, jit of a step": jax_steps,
    "JAX, jit of an epoch (scan)": jax_scan,
    "scikit-learn MLPRegressor": sklearn_mlp,
    "C, one thread": c_program,
}
