"""The same step in plain C, compiled here: what one thread of the machine can do."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path

import numpy
import torch

from benchmarks.perceptron import Problem, Train, first_parameters
from benchmarks.timing import Absent

SOURCE = Path(__file__).parents[1] / "limit.c"
FLAGS = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]


def c_program(problem: Problem) -> Train:
    """benchmarks/limit.c; the losses are brought to Python after the epochs."""
    library = _compile()
    parameters = torch.cat([tensor.flatten() for tensor in first_parameters()]).numpy()
    x, y = (numpy.ascontiguousarray(tensor.numpy()) for tensor in (problem.x, problem.y))
    net = library.create(parameters.ctypes.data)

    def train(epochs: int) -> list[float]:
        losses = numpy.zeros(epochs)
        library.train(net, x.ctypes.data, y.ctypes.data, epochs, int(problem.shuffle), losses.ctypes.data)
        return losses.tolist()

    weakref.finalize(train, library.destroy, net)
    return train


def _compile() -> ctypes.CDLL:
    """Compile and load; raise Absent where there is no compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Absent("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "limit.so")
        done = subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", str(target), "-lm"], capture_output=True, text=True)
        if done.returncode:
            raise Absent(f"the C compiler failed: {done.stderr.strip().splitlines()[-1:]}")
        library = ctypes.CDLL(str(target))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.create.restype, library.create.argtypes = pointer, [pointer]
    library.train.restype, library.train.argtypes = None, [pointer, pointer, pointer, number, number, pointer]
    library.destroy.restype, library.destroy.argtypes = None, [pointer]
    return library
