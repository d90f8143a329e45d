"""Two branches of convolutions for handwritten digits. Run: python examples/convolution.py. It draws into out/."""

from itertools import pairwise

from graphdl import (
    BatchNorm2d,
    Concat,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    evaluate,
    fit,
)
from graphdl.data import digits, split
from graphdl.optim import AdamW


def branch(name: str, kernel_size: int) -> dict:
    """A branch with filters of one size, which halves height and width."""
    return {
        f"{name}/conv": Conv2d(1, 16, kernel_size, padding="same", bias=False),
        f"{name}/norm": BatchNorm2d(),
        f"{name}/relu": ReLU(),
        f"{name}/pool": MaxPool2d(2),
    }


operators = {
    **branch("fine", 3),
    **branch("coarse", 5),
    "join": Concat(),
    "conv": Conv2d(out_channels=32, kernel_size=3, padding=1, bias=False),
    "norm": BatchNorm2d(),
    "relu": ReLU(),
    "pool": MaxPool2d(2),
    "flat": Flatten(),
    "dropout": Dropout(0.3),
    "logits": Linear(out_features=10),
    "loss": CrossEntropyLoss(),
}
chains = [
    ["image", *branch("fine", 3), "join"],
    ["image", *branch("coarse", 5), "join"],
    ["join", "conv", "norm", "relu", "pool", "flat", "dropout", "logits", "loss"],
    ["digit", "loss"],
]
connectivity: dict[str, list[str]] = {}
for chain in chains:
    for node, fed in pairwise(chain):
        connectivity.setdefault(node, []).append(fed)


def main(epochs: int = 15, folder: str = "out") -> float:
    net = Network(operators, connectivity, seed=0)
    x, labels = digits()
    images = x.view(-1, 1, 8, 8)
    training, test = split(images, labels, fractions=(0.8, 0.2), seed=0, stratify=labels)
    fit(net, *training, optimizer=AdamW(lr=3e-3), epochs=epochs, batch_size=64)
    accuracy = evaluate(net, *test, metrics=("accuracy",))["accuracy"]
    print(net.summary())
    print(f"test accuracy {accuracy:.1%}")
    net.render(f"{folder}/convolution.svg", title="Two sizes of filters")
    return accuracy


if __name__ == "__main__":
    main()
