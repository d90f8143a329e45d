import pytest

from graphdl import Linear, MSELoss, Network, Tanh


@pytest.fixture
def net() -> Network:
    operators = {"fc1": Linear(2, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=0)
