"""Perceptrons that are not chains: residual blocks, dense connections, and a wide fan-out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.declaration import Declaration
from graphdl import Concat, Linear, MSELoss, Network, ReLU, Sum, Tanh
from graphdl.operators import LayerNorm

BLOCKS, RESIDUAL_WIDTH = 50, 64
DENSE_LAYERS, GROWTH = 20, 16
BRANCHES, BRANCH_WIDTH = 64, 16


def residual(rows: int = 32) -> tuple[Network, dict[str, Tensor]]:
    """50 blocks y = x + fc2(relu(fc1(norm(x)))) of width 64."""
    declared = Declaration()
    source = declared.add("stem", Linear(16, RESIDUAL_WIDTH), "x")
    for k in range(BLOCKS):
        end = declared.chain(
            source,
            (f"blocks.{k}.norm", LayerNorm(RESIDUAL_WIDTH)),
            (f"blocks.{k}.fc1", Linear(RESIDUAL_WIDTH, RESIDUAL_WIDTH)),
            (f"blocks.{k}.relu", ReLU()),
            (f"blocks.{k}.fc2", Linear(RESIDUAL_WIDTH, RESIDUAL_WIDTH)),
        )
        source = declared.add(f"blocks.{k}.sum", Sum(), source, end)
    source = declared.add("head", Linear(RESIDUAL_WIDTH, 4), source)
    declared.add("loss", MSELoss(), source, "target")
    return declared.network(), _batch(rows, 16, 4)


class ResidualBlock(nn.Module):
    """One block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(RESIDUAL_WIDTH)
        self.fc1, self.fc2 = (nn.Linear(RESIDUAL_WIDTH, RESIDUAL_WIDTH) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(torch.relu(self.fc1(self.norm(x))))


class ResidualTwin(nn.Module):
    """The residual perceptron in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(16, RESIDUAL_WIDTH)
        self.blocks = nn.Sequential(*(ResidualBlock() for _ in range(BLOCKS)))
        self.head = nn.Linear(RESIDUAL_WIDTH, 4)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(self.head(self.blocks(self.stem(x))), target)


def dense(rows: int = 32) -> tuple[Network, dict[str, Tensor]]:
    """20 layers of 16 units, each of which reads the input and all layers before it."""
    declared, known = Declaration(), ["x"]
    for k in range(DENSE_LAYERS):
        source = declared.add(f"concat{k}", Concat(), *known) if k else "x"
        layer = declared.add(f"layers.{k}", Linear(GROWTH * (k + 1), GROWTH), source)
        known.append(declared.add(f"tanh{k}", Tanh(), layer))
    declared.add("loss", MSELoss(), known[-1], "target")
    return declared.network(), _batch(rows, GROWTH, GROWTH)


class DenseTwin(nn.Module):
    """The dense perceptron in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(GROWTH * (k + 1), GROWTH) for k in range(DENSE_LAYERS))

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        known = [x]
        for layer in self.layers:
            known.append(torch.tanh(layer(torch.cat(known, 1))))
        return nn.functional.mse_loss(known[-1], target)


def fan_out(rows: int = 32) -> tuple[Network, dict[str, Tensor]]:
    """64 branches from one value into one sum, ReLU and Tanh in turn."""
    declared = Declaration()
    stem = declared.add("stem", Linear(8, BRANCH_WIDTH), "x")
    ends = [
        declared.chain(
            stem, (f"branches.{k}", Linear(BRANCH_WIDTH, BRANCH_WIDTH)), (f"act{k}", Tanh() if k % 2 else ReLU())
        )
        for k in range(BRANCHES)
    ]
    source = declared.add("sum", Sum(), *ends)
    source = declared.add("head", Linear(BRANCH_WIDTH, 2), source)
    declared.add("loss", MSELoss(), source, "target")
    return declared.network(), _batch(rows, 8, 2)


class FanOutTwin(nn.Module):
    """The fan-out in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, BRANCH_WIDTH)
        self.branches = nn.ModuleList(nn.Linear(BRANCH_WIDTH, BRANCH_WIDTH) for _ in range(BRANCHES))
        self.head = nn.Linear(BRANCH_WIDTH, 2)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        stem = self.stem(x)
        ends = [torch.tanh(b(stem)) if k % 2 else torch.relu(b(stem)) for k, b in enumerate(self.branches)]
        total = ends[0]
        for end in ends[1:]:
            total = total + end
        return nn.functional.mse_loss(self.head(total), target)


def _batch(rows: int, width: int, outputs: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.rand(rows, width, generator=generator),
        "target": torch.rand(rows, outputs, generator=generator),
    }
