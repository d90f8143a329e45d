"""A network, its twin in torch.nn, and batches for both."""

import pytest
import torch
from torch import nn

from graphdl import Linear, MSELoss, Network, Tanh

OPERATORS = {"fc1": Linear(3, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "loss": MSELoss()}
CONNECTIVITY = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}


def network(**settings) -> Network:
    return Network(OPERATORS, CONNECTIVITY, seed=0, **{"dtype": torch.float64, **settings})


def twin(net: Network) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(net.dtype)
    model.load_state_dict(
        {name.replace("fc1", "0").replace("fc2", "2"): value for name, value in net.state_dict().items()}
    )
    return model


class LionReference(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al., 2023, which torch.optim does not have."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for theta in group["params"]:
                g, m = theta.grad, self.state[theta].get("m", torch.zeros_like(theta))
                c = beta1 * m + (1 - beta1) * g
                theta.copy_(theta - group["lr"] * (torch.sign(c) + group["weight_decay"] * theta))
                self.state[theta]["m"] = beta2 * m + (1 - beta2) * g


@pytest.fixture
def double_precision():
    """torch.optim.NAdam keeps the product of its momenta in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def batches(count: int = 100, dtype: torch.dtype = torch.float64, size: float = 1.0):
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(7, 3, generator=generator, dtype=dtype),
            size * torch.randn(7, 2, generator=generator, dtype=dtype),
        )
        for _ in range(count)
    ]


def backward(net: Network, batch) -> None:
    net.forward({"x": batch[0], "target": batch[1]})
    net.backward()


def descend(model: nn.Module, batch) -> None:
    model.zero_grad()
    nn.functional.mse_loss(model(batch[0]), batch[1]).backward()


def assert_same(net: Network, model: nn.Module, tolerance: float = 1e-10) -> None:
    for ours, parameter in zip(net.parameters.values(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.data, atol=tolerance, rtol=0)


def updates(net: Network, stepper, data, **settings) -> None:
    """The same batches by the formula, with numbers that are tensors."""
    from graphdl.optim import Gathering

    backward(net, data[0])
    moves = stepper.moves(net.reached, together=net.reached, gathering=Gathering(**settings))
    rows = moves.numbers(len(data))
    assert rows.dtype is torch.float64
    (group,) = moves.groups
    for batch, row in zip(data, rows, strict=True):
        backward(net, batch)
        for (node, name), memory in group.gradients.items():
            memory.copy_(net.gradients[f"{node}.{name}"])
        moves.formula(row)
    moves.advance(len(data))
