"""A U-Net, which tells for every pixel whether it belongs to what is sought (Ronneberger et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from graphdl import BCEWithLogitsLoss, Block, Concat, Network, ReLU
from graphdl.operators import BatchNorm2d, Conv2d, ConvTranspose2d, MaxPool2d, Upsample

WIDTHS = (8, 16, 32)
LARGE = (32, 64, 128)


def unet(
    rows: int = 4, size: int = 16, widths: Sequence[int] = WIDTHS, upsample: bool = False
) -> tuple[Network, dict[str, Tensor]]:
    """Levels down and up again on square pictures of one channel, with shortcuts that are joined.

    upsample  whether maps grow by Upsample and a convolution of one pixel, instead of by ConvTranspose2d
    """
    bottom = len(widths) - 1
    operators = {"down0": double_convolution(1, widths[0])}
    connectivity = {"x": ["down0"], "down0": ["join0", "pool1"]}
    for k, (above, width) in enumerate(pairwise(widths), 1):
        operators |= {f"pool{k}": MaxPool2d(2), f"down{k}": double_convolution(above, width)}
        connectivity |= {f"pool{k}": [f"down{k}"], f"down{k}": [f"join{k}", f"pool{k + 1}"]}
    connectivity[f"down{bottom}"] = [f"grow{bottom - 1}"]
    for k in reversed(range(bottom)):
        width, below = widths[k], widths[k + 1]
        operators[f"grow{k}"] = growing(below, width) if upsample else ConvTranspose2d(below, width, 2, stride=2)
        operators |= {f"join{k}": Concat(), f"up{k}": double_convolution(2 * width, width)}
        connectivity |= {f"grow{k}": [f"join{k}"], f"join{k}": [f"up{k}"], f"up{k}": [f"grow{k - 1}"]}
    operators |= {"head": Conv2d(widths[0], 1, 1), "loss": BCEWithLogitsLoss()}
    connectivity |= {"up0": ["head"], "head": ["loss"], "target": ["loss"]}
    generator = torch.Generator().manual_seed(0)
    batch = {name: torch.rand(rows, 1, size, size, generator=generator) for name in ("x", "target")}
    batch["target"] = batch["target"].round()
    return Network(operators, connectivity, seed=0), batch


def double_convolution(channels: int, width: int) -> Block:
    """Two convolutions, each normalized."""
    operators = {
        "conv1": Conv2d(channels, width, 3, padding=1, bias=False),
        "bn1": BatchNorm2d(width),
        "relu1": ReLU(),
        "conv2": Conv2d(width, width, 3, padding=1, bias=False),
        "bn2": BatchNorm2d(width),
        "relu2": ReLU(),
    }
    return Block(operators, {source: [node] for source, node in pairwise(["input", *operators])})


def growing(channels: int, width: int) -> Block:
    """A map of twice the size and other channels."""
    operators = {"upsample": Upsample(scale_factor=2, mode="bilinear"), "conv": Conv2d(channels, width, 1)}
    return Block(operators, {"input": ["upsample"], "upsample": ["conv"]})


class DoubleConvolutionTwin(nn.Module):
    """Two convolutions in torch."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x))))))


class GrowingTwin(nn.Module):
    """A map of twice the size in torch."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(nn.functional.interpolate(x, scale_factor=2, mode="bilinear"))


class UNetTwin(nn.Module):
    """The U-Net in torch."""

    def __init__(self, widths: Sequence[int] = WIDTHS, upsample: bool = False) -> None:
        super().__init__()
        self.depth = len(widths)
        for k, (above, width) in enumerate(pairwise([1, *widths])):
            self.add_module(f"down{k}", DoubleConvolutionTwin(above, width))
        for k, (width, below) in enumerate(pairwise(widths)):
            grow = GrowingTwin(below, width) if upsample else nn.ConvTranspose2d(below, width, 2, stride=2)
            self.add_module(f"grow{k}", grow)
            self.add_module(f"up{k}", DoubleConvolutionTwin(2 * width, width))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        maps = []
        for k in range(self.depth):
            x = self.get_submodule(f"down{k}")(nn.functional.max_pool2d(x, 2) if k else x)
            maps.append(x)
        for k in reversed(range(self.depth - 1)):
            x = torch.cat([maps[k], self.get_submodule(f"grow{k}")(x)], 1)
            x = self.get_submodule(f"up{k}")(x)
        return nn.functional.binary_cross_entropy_with_logits(self.head(x), target)
