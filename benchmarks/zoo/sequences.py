"""Classifiers of sequences by LSTM (Hochreiter and Schmidhuber, 1997)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphdl import CrossEntropyLoss, Linear, Network
from graphdl.operators import LSTM, Item, ReduceMean, Select

CLASSES = 10


def lstm(
    rows: int = 32, length: int = 50, width: int = 128, bidirectional: bool = False
) -> tuple[Network, dict[str, Tensor]]:
    """Two layers; the output of the last step decides, or of two directions the mean over the steps."""
    operators = {
        "lstm": LSTM(width, width, num_layers=2, batch_first=True, bidirectional=bidirectional),
        "states": Item(0),
        "read": ReduceMean(1) if bidirectional else Select(-1),
        "fc": Linear(width * (1 + bidirectional), CLASSES),
        "loss": CrossEntropyLoss(),
    }
    connectivity = {
        "x": ["lstm"],
        "lstm": ["states"],
        "states": ["read"],
        "read": ["fc"],
        "fc": ["loss"],
        "target": ["loss"],
    }
    generator = torch.Generator().manual_seed(0)
    batch = {
        "x": torch.randn(rows, length, width, generator=generator),
        "target": torch.randint(CLASSES, (rows,), generator=generator),
    }
    return Network(operators, connectivity, seed=0), batch


class LSTMTwin(nn.Module):
    """The same in torch."""

    def __init__(self, width: int = 128, bidirectional: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True, bidirectional=bidirectional)
        self.fc = nn.Linear(width * (1 + bidirectional), CLASSES)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        y = self.lstm(x)[0]
        return nn.functional.cross_entropy(self.fc(y.mean(1) if self.lstm.bidirectional else y[:, -1]), target)
