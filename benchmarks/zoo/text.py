"""A classifier of texts: embedded tokens, flattened, and a perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.declaration import Declaration
from graphdl import CrossEntropyLoss, Linear, Network, ReLU
from graphdl.operators import Embedding, Flatten

TOKENS, LENGTH, WIDTH, HIDDEN, CLASSES = 10_000, 32, 32, 128, 4


def classifier(rows: int = 64) -> tuple[Network, dict[str, Tensor]]:
    """Texts of 32 tokens out of 10,000, in four classes."""
    declared = Declaration()
    source = declared.chain(
        "tokens",
        ("embedding", Embedding(TOKENS, WIDTH)),
        ("flatten", Flatten()),
        ("fc1", Linear(LENGTH * WIDTH, HIDDEN)),
        ("relu", ReLU()),
        ("fc2", Linear(HIDDEN, CLASSES)),
    )
    declared.add("loss", CrossEntropyLoss(), source, "target")
    generator = torch.Generator().manual_seed(0)
    batch = {
        "tokens": torch.randint(TOKENS, (rows, LENGTH), generator=generator),
        "target": torch.randint(CLASSES, (rows,), generator=generator),
    }
    return declared.network(), batch


class ClassifierTwin(nn.Module):
    """The same in torch."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.fc1, self.fc2 = nn.Linear(LENGTH * WIDTH, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, tokens: Tensor, target: Tensor) -> Tensor:
        x = torch.relu(self.fc1(self.embedding(tokens).flatten(1)))
        return nn.functional.cross_entropy(self.fc2(x), target)
