"""The same network twice, one trained by compiled steps and one by the operators."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from graphdl import Network
from graphdl.execution.compiled_steps import CompiledSteps
from graphdl.optim import Adam
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs the C++ compiler g++")
TOLERANCES = {torch.float32: (2e-4, 2e-5), torch.float64: (1e-10, 1e-10)}


def compiled(net: Network, optimizer, inputs) -> CompiledSteps:
    return net.compile(optimizer, {name: tensor[0] for name, tensor in inputs.items()})


def stepped(net: Network, optimizer, inputs) -> torch.Tensor:
    """The losses of steps by the operators."""
    step = TrainingStep(net, optimizer.bind(net), Scorer(net, ()))
    count = len(next(iter(inputs.values())))
    with torch.inference_mode():
        return torch.tensor(
            [step({name: tensor[k] for name, tensor in inputs.items()}).loss for k in range(count)], dtype=torch.float64
        )


def assert_twins(make: Callable[[], Network], inputs, optimizer=None) -> tuple[Network, Network]:
    """Compiled steps give the losses, the parameters and the buffers that the operators give."""
    optimizer = optimizer or Adam(lr=1e-2)
    one, other = make(), make()
    losses = compiled(one, optimizer, inputs)(inputs)
    rtol, atol = TOLERANCES[one.dtype]
    torch.testing.assert_close(losses, stepped(other, optimizer, inputs), rtol=rtol, atol=atol)
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(
            one.state_dict()[name], tensor, rtol=rtol, atol=atol, msg=lambda t, n=name: f"{n}: {t}"
        )
    return one, other
