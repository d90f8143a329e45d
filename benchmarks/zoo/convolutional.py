"""Convolutional networks: LeNet on 28 x 28 digits, and ResNet-18 on 32 x 32 pictures (He et al., 2015; 3 x 3 stem)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.zoo.declaration import Declaration
from graphdl import Block, CrossEntropyLoss, Linear, Network, ReLU, Sequential, Sum
from graphdl.operators import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, MaxPool2d

WIDTHS = (64, 128, 256, 512)
CLASSES = 10


def lenet(rows: int = 64) -> tuple[Network, dict[str, Tensor]]:
    """Two convolutions with pooling, then a perceptron (LeCun et al., 1998; ReLU and maximum in place of the old)."""
    declared = Declaration()
    source = declared.chain(
        "x",
        ("conv1", Conv2d(1, 6, 5, padding=2)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2)),
        ("conv2", Conv2d(6, 16, 5)),
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(2)),
        ("flatten", Flatten()),
        ("fc1", Linear(400, 120)),
        ("relu3", ReLU()),
        ("fc2", Linear(120, 84)),
        ("relu4", ReLU()),
        ("fc3", Linear(84, CLASSES)),
    )
    declared.add("loss", CrossEntropyLoss(), source, "target")
    return declared.network(), _pictures(rows, 1, 28)


class LeNetTwin(nn.Module):
    """LeNet in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, CLASSES)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        for convolution in (self.conv1, self.conv2):
            x = nn.functional.max_pool2d(torch.relu(convolution(x)), 2)
        x = torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1)))))
        return nn.functional.cross_entropy(self.fc3(x), target)


def resnet18(rows: int = 16, widths: Sequence[int] = WIDTHS, size: int = 32) -> tuple[Network, dict[str, Tensor]]:
    """Four stages of two blocks; parameters are named as in torchvision."""
    channels = [widths[0], *widths]
    stages = {
        f"layer{k}": Sequential(basic_block(channels[k - 1], width, 1 if k == 1 else 2), basic_block(width, width, 1))
        for k, width in enumerate(widths, 1)
    }
    operators = {
        "conv1": Conv2d(3, widths[0], 3, padding=1, bias=False),
        "bn1": BatchNorm2d(widths[0]),
        "relu": ReLU(),
        **stages,
        "avgpool": AdaptiveAvgPool2d(1),
        "flatten": Flatten(),
        "fc": Linear(widths[-1], CLASSES),
        "loss": CrossEntropyLoss(),
    }
    connectivity = {source: [node] for source, node in pairwise(["x", *operators])}
    return Network(operators, {**connectivity, "target": ["loss"]}, seed=0), _pictures(rows, 3, size)


def basic_block(channels: int, width: int, stride: int) -> Block:
    """Two convolutions beside a shortcut."""
    operators = {
        "conv1": Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
        "bn1": BatchNorm2d(width),
        "relu1": ReLU(),
        "conv2": Conv2d(width, width, 3, padding=1, bias=False),
        "bn2": BatchNorm2d(width),
        "sum": Sum(),
        "relu2": ReLU(),
    }
    connectivity = {source: [node] for source, node in pairwise(["x", *operators])}
    if stride == 1 and channels == width:
        return Block(operators, {**connectivity, "x": ["conv1", "sum"]})
    shortcut = Sequential(Conv2d(channels, width, 1, stride=stride, bias=False), BatchNorm2d(width))
    return Block(
        {**operators, "downsample": shortcut},
        {**connectivity, "x": ["conv1", "downsample"], "downsample": ["sum"]},
    )


class BlockTwin(nn.Module):
    """A block in torch, in place where torchvision's is."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != width:
            convolution = nn.Conv2d(channels, width, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = torch.relu_(self.bn1(self.conv1(x)))
        return torch.relu_(self.bn2(self.conv2(y)).add_(shortcut))


class ResNet18Twin(nn.Module):
    """ResNet-18 in torch."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        channels = widths[0]
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        for stage, width in enumerate(widths, 1):
            first = BlockTwin(channels, width, 1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", nn.Sequential(first, BlockTwin(width, width, 1)))
            channels = width
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        x = torch.relu_(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return nn.functional.cross_entropy(self.fc(x.mean((2, 3))), target)


def _pictures(rows: int, channels: int, size: int) -> dict[str, Tensor]:
    """Random pictures with random labels."""
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.rand(rows, channels, size, size, generator=generator),
        "target": torch.randint(CLASSES, (rows,), generator=generator),
    }
