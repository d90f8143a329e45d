"""A U-Net that segments discs, boxes and triangles in noise. Run: graphdl run unet. It draws into out/."""

import math

import torch
from torch import Tensor

from graphdl import (
    BatchNorm2d,
    Block,
    Concat,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    MaxPool2d,
    Network,
    ReLU,
    Sequential,
    fit,
)
from graphdl.optim import AdamW, OneCycle

CLASSES = ("background", "disc", "box", "triangle")


def convolutions(channels: int) -> Sequential:
    """Two convolutions that keep the size, each normalized."""
    layers = {}
    for k in (1, 2):
        layers |= {f"conv{k}": Conv2d(None, channels, 3, padding=1, bias=False), f"norm{k}": BatchNorm2d(), f"relu{k}": ReLU()}
    return Sequential(**layers)


def level(channels: int, inner: Block) -> Block:
    """What `inner` makes of the image at half its size, joined with the image itself: x (n, c, h, w) -> (n, channels, h, w)."""
    operators = {
        "down": convolutions(channels),
        "pool": MaxPool2d(2),
        "inner": inner,
        "grow": ConvTranspose2d(None, channels, 2, stride=2),
        "join": Concat(),
        "up": convolutions(channels),
    }
    connectivity = {
        "x": ["down"],
        "down": ["join", "pool"],
        "pool": ["inner"],
        "inner": ["grow"],
        "grow": ["join"],
        "join": ["up"],
    }
    return Block(operators, connectivity)


operators = {
    "unet": level(8, level(16, level(32, convolutions(64)))),
    "classes": Conv2d(None, len(CLASSES), 1),
    "loss": CrossEntropyLoss(),
}
connectivity = {"image": ["unet"], "unet": ["classes"], "classes": ["loss"], "mask": ["loss"]}


def draw(count: int, seed: int, size: int = 32) -> tuple[Tensor, Tensor]:
    """Images (n, 1, h, w) of three shapes each, which may cover each other, and the class of each pixel (n, h, w)."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    axis = torch.arange(size) + 0.5
    image, mask = torch.zeros(count, size, size), torch.zeros(count, size, size, dtype=torch.int64)
    for k in range(2):
        x, y = axis - 16 * k - uniform(6, 10), axis[:, None] - uniform(7, size - 7)
        radius, angle, turn = x.hypot(y), torch.atan2(y, x), uniform(0, math.tau)
        corners = [radius * (math.pi / n - (angle + turn) % (math.tau / n)).cos() for n in (4, 3)]
        kind = torch.randint(1, 4, (count, 1, 1), generator=generator)
        reach = torch.where(kind == 1, radius, torch.where(kind == 2, 1.1 * corners[0], 1.4 * corners[1]))
        inside = reach < uniform(4, 8)
        mask = torch.where(inside, kind, mask)
        image = torch.where(inside, uniform(0.4, 1), image)
    return (image + 0.1 * torch.randn(image.shape, generator=generator))[:, None], mask


def mean_iou(found: Tensor, mask: Tensor) -> float:
    """The mean over the classes of intersection over union, each over all images."""
    overlaps = [((found == k) & (mask == k)).sum() / ((found == k) | (mask == k)).sum() for k in range(len(CLASSES))]
    return float(sum(overlaps) / len(overlaps))


def main(epochs: int = 20, rows: int = 800, folder: str = "out", seed: int = 0) -> float:
    net = Network(operators, connectivity, seed=seed)
    images, masks = draw(rows, seed=seed)
    test_images, test_masks = draw(200, seed=seed + 1000)
    steps = epochs * -(-rows // 16)
    fit(net, images, masks, optimizer=AdamW(lr=OneCycle(1e-2, steps=steps)), epochs=epochs, batch_size=16)
    found = net.predict(test_images).argmax(1)
    iou = mean_iou(found, test_masks)
    print(f"mean IoU of the test images {iou:.3f}")
    net.render(f"{folder}/network.svg", title="A U-Net")
    return iou


if __name__ == "__main__":
    main()
