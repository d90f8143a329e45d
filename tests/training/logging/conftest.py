import pytest
import torch

from graphdl import BatchNorm1d, Dropout, Linear, MSELoss, Network, fit
from graphdl.optim import Adam

X, Y = torch.randn(24, 2, generator=torch.Generator().manual_seed(0)), torch.ones(24, 2)


@pytest.fixture
def train():
    """Train a network with random masks and running statistics; return it with its history."""

    def trained(*callbacks, epochs=3, compiled=False, **settings):
        operators = {"fc1": Linear(2, 8), "norm": BatchNorm1d(8), "drop": Dropout(0.2), "fc2": Linear(8, 2)}
        chain = {"x": ["fc1"], "fc1": ["norm"], "norm": ["drop"], "drop": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
        net = Network({**operators, "loss": MSELoss()}, chain, seed=0)
        given = {"optimizer": Adam(lr=1e-2), "batch_size": 8, "progress": False, "validation": (X, Y), **settings}
        return net, fit(net, X, Y, epochs=epochs, callbacks=callbacks, compile=compiled, **given)

    return trained
