"""Chains of Linear and an activation: a small one, a wide one, a deep one, and an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.zoo.declaration import Declaration
from graphdl import CrossEntropyLoss, Linear, Loss, MSELoss, Network, Operator, ReLU, Tanh

SMALL = (2, 25, 25, 25, 2)
WIDE = (784, 1024, 1024, 10)
DEEP = (32,) * 101
CODE = (784, 128, 32, 128, 784)


def mlp(widths: Sequence[int], loss: Loss, activation: Operator, last: Operator | None = None) -> Network:
    """Linear layers fc1, fc2, ... with activations between them, perhaps one after the last, and a loss."""
    declared, source = Declaration(), "x"
    layers = len(widths) - 1
    for k, (i, o) in enumerate(pairwise(widths), 1):
        source = declared.add(f"fc{k}", Linear(i, o), source)
        following = activation if k < layers else last
        if following is not None:
            source = declared.add(f"act{k}", following, source)
    declared.add("loss", loss, source, "target")
    return declared.network()


class MLPTwin(nn.Module):
    """The same in torch."""

    def __init__(
        self, widths: Sequence[int], loss: nn.Module, activation: nn.Module, last: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.count = len(widths) - 1
        for k, (i, o) in enumerate(pairwise(widths), 1):
            self.add_module(f"fc{k}", nn.Linear(i, o))
        self.activation, self.last, self.loss = activation, last, loss

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        for k in range(1, self.count):
            x = self.activation(getattr(self, f"fc{k}")(x))
        x = getattr(self, f"fc{self.count}")(x)
        return self.loss(x if self.last is None else self.last(x), target)


def perceptron(rows: int = 50) -> tuple[Network, dict[str, Tensor]]:
    """2-25-25-25-2: the net of `step`."""
    generator = torch.Generator().manual_seed(0)
    batch = {"x": torch.rand(rows, 2, generator=generator), "target": torch.rand(rows, 2, generator=generator)}
    return mlp(SMALL, MSELoss(), ReLU(), Tanh()), batch


class PerceptronTwin(MLPTwin):
    """2-25-25-25-2 in torch."""

    def __init__(self) -> None:
        super().__init__(SMALL, nn.MSELoss(), nn.ReLU(), nn.Tanh())


def wide(rows: int = 256) -> tuple[Network, dict[str, Tensor]]:
    """784-1024-1024-10 with cross-entropy."""
    return mlp(WIDE, CrossEntropyLoss(), ReLU()), _classes(rows, 784)


class WideTwin(MLPTwin):
    """784-1024-1024-10 in torch."""

    def __init__(self) -> None:
        super().__init__(WIDE, nn.CrossEntropyLoss(), nn.ReLU())


def deep(rows: int = 50) -> tuple[Network, dict[str, Tensor]]:
    """100 layers of 32 units with Tanh."""
    generator = torch.Generator().manual_seed(0)
    batch = {name: torch.rand(rows, 32, generator=generator) for name in ("x", "target")}
    return mlp(DEEP, MSELoss(), Tanh()), batch


class DeepTwin(MLPTwin):
    """100 layers of 32 units in torch."""

    def __init__(self) -> None:
        super().__init__(DEEP, nn.MSELoss(), nn.Tanh())


def autoencoder(rows: int = 128) -> tuple[Network, dict[str, Tensor]]:
    """784-128-32-128-784, which learns to repeat its input."""
    x = torch.rand(rows, 784, generator=torch.Generator().manual_seed(0))
    return mlp(CODE, MSELoss(), ReLU()), {"x": x, "target": x}


class AutoencoderTwin(MLPTwin):
    """784-128-32-128-784 in torch."""

    def __init__(self) -> None:
        super().__init__(CODE, nn.MSELoss(), nn.ReLU())


def _classes(rows: int, width: int, classes: int = 10) -> dict[str, Tensor]:
    """Random rows with random labels."""
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.rand(rows, width, generator=generator),
        "target": torch.randint(classes, (rows,), generator=generator),
    }
