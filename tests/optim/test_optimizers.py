import pytest
import torch
from torch import nn

from graphdl import Linear, MSELoss, Network, Tanh
from graphdl.errors import MissingInputError, SettingError
from graphdl.optim import SGD, Adam, AdamW

OPERATORS = {"fc1": Linear(3, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "loss": MSELoss()}
CONNECTIVITY = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}

CASES = [
    (SGD(lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    (SGD(lr=0.1, weight_decay=0.05), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
    (SGD(lr=0.1, momentum=0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (
        SGD(lr=0.1, momentum=0.8, weight_decay=0.01, nesterov=True),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.01, "nesterov": True},
    ),
    (Adam(lr=0.01), torch.optim.Adam, {"lr": 0.01}),
    (
        Adam(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        torch.optim.Adam,
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
    ),
    (AdamW(lr=0.01), torch.optim.AdamW, {"lr": 0.01}),
    (AdamW(lr=0.05, weight_decay=0.3), torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.3}),
]


def network(**settings) -> Network:
    return Network(OPERATORS, CONNECTIVITY, seed=0, **settings)


def twin(net: Network) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(net.dtype)
    model.load_state_dict(
        {name.replace("fc1", "0").replace("fc2", "2"): value for name, value in net.state_dict().items()}
    )
    return model


def batches(dtype: torch.dtype, count: int = 100):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(7, 3, generator=generator, dtype=dtype), torch.randn(7, 2, generator=generator, dtype=dtype))
        for _ in range(count)
    ]


@pytest.mark.parametrize(("optimizer", "theirs", "settings"), CASES, ids=lambda case: str(case)[:60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_trajectory_as_torch_over_100_steps(optimizer, theirs, settings, dtype):
    net = network(dtype=dtype)
    model = twin(net)
    stepper, reference = optimizer.bind(net), theirs(model.parameters(), **settings)
    for x, y in batches(dtype):
        net.forward({"x": x, "target": y})
        net.backward()
        stepper.step()
        reference.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        reference.step()
        for ours, parameter in zip(net.parameters.values(), model.parameters(), strict=True):
            torch.testing.assert_close(ours, parameter.data, atol=1e-10 if dtype is torch.float64 else 5e-6, rtol=0)
    assert stepper.steps == 100


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9, weight_decay=0.1), Adam(lr=0.1), AdamW(lr=0.1)])
def test_frozen_parameters_stay_bit_for_bit(optimizer):
    net = network()
    stepper = optimizer.bind(net)
    (x, y), *_ = batches(torch.float32, 1)

    def step() -> dict[str, torch.Tensor]:
        net.forward({"x": x, "target": y})
        net.backward()
        stepper.step()
        return net.state_dict()

    first = step()
    net.freeze("fc1")
    second = step()
    net.unfreeze("fc1")
    third = step()
    for name in first:
        assert torch.equal(first[name], second[name]) == name.startswith("fc1"), name
        assert not torch.equal(second[name], third[name]), name


def test_parameters_that_no_gradient_reached_stay_even_under_weight_decay():
    net = Network(
        {"a": Linear(2, 2), "b": Linear(2, 2), "loss": MSELoss()},
        {"x": ["a", "b"], "a": ["loss"], "y": ["loss"]},
        seed=0,
    )
    before = net.state_dict()
    stepper = SGD(lr=0.1, weight_decay=0.5).bind(net)
    net.forward({"x": torch.ones(3, 2), "y": torch.zeros(3, 2)})
    net.backward()
    assert torch.equal(net.gradients["b.weight"], torch.zeros(2, 2))
    stepper.step()
    assert torch.equal(net.parameters["b.weight"], before["b.weight"])
    assert not torch.equal(net.parameters["a.weight"], before["a.weight"])


def test_step_takes_gradients_that_the_user_changed():
    net = network()
    before = net.state_dict()
    stepper = SGD(lr=1.0).bind(net)
    net.forward({"x": torch.ones(1, 3), "target": torch.ones(1, 2)})
    net.backward()
    net.gradients["fc2.bias"] = torch.tensor([1.0, -2.0])
    stepper.step()
    torch.testing.assert_close(net.parameters["fc2.bias"], before["fc2.bias"] - torch.tensor([1.0, -2.0]))


def test_the_state_follows_a_network_that_moves():
    net = network()
    stepper = Adam(lr=0.1).bind(net)
    for dtype in (torch.float32, torch.float64):
        net.to(dtype=dtype)
        net.forward({"x": torch.ones(1, 3), "target": torch.ones(1, 2)})
        net.backward()
        stepper.step()
    assert stepper.steps == 2
    assert net.parameters["fc1.weight"].dtype is torch.float64


def test_step_without_gradients_says_what_to_call():
    with pytest.raises(MissingInputError, match=r"call net.forward\(inputs\) and net.backward\(\) first"):
        Adam().bind(network()).step()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SGD(lr=-1.0), r"SGD: lr is a number in \[0, inf\), not -1.0"),
        (lambda: Adam(lr="fast"), "lr is a number"),
        (lambda: Adam(betas=(0.9, 1.0)), r"beta2 is a number in \[0, 1\), not 1.0"),
        (lambda: Adam(betas=0.9), "betas is a pair"),
        (lambda: AdamW(weight_decay=-0.1), "AdamW: weight_decay is a number"),
        (lambda: SGD(momentum=-0.5), "momentum is a number"),
        (lambda: SGD(nesterov=True), "nesterov looks ahead along the momentum"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(SettingError, match=text):
        make()


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Adam().lr = 1.0
