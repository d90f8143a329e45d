import numpy as np
import pytest
import torch

from graphdl import (
    BCEWithLogitsLoss,
    Block,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    Linear,
    MSELoss,
    Network,
    NLLLoss,
    check_gradients,
)
from graphdl.errors import SettingError
from graphdl.sklearn.weighting import Weighted, with_row_weights

REAL = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
INDEX = torch.tensor([0, 2, 1, 1, 0])
W = torch.tensor([0.0, 1.0, 2.0, 0.5, 1.5])


@pytest.mark.parametrize("loss", [MSELoss(), L1Loss(), HuberLoss(), BCEWithLogitsLoss(weight=2.0)])
def test_gradients(loss):
    check_gradients(Weighted(loss), REAL, torch.rand(5, 3), W)


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), NLLLoss()])
def test_gradients_by_index(loss):
    check_gradients(Weighted(loss), REAL, INDEX, W)


@pytest.mark.parametrize("loss", [MSELoss(), CrossEntropyLoss()])
def test_weights_of_one_are_the_loss(loss):
    target = INDEX if isinstance(loss, CrossEntropyLoss) else torch.rand(5, 3)
    mean, _ = loss.forward({}, REAL, target, training=True)
    weighted, _ = Weighted(loss).forward({}, REAL, target, torch.ones(5), training=True)
    torch.testing.assert_close(mean, weighted)


def test_a_network_with_blocks_keeps_its_names_and_state():
    block = Block({"fc": Linear(3, 2)}, {"x": ["fc"]})
    net = Network({"block": block, "loss": MSELoss()}, {"x": ["block"], "block": ["loss"]}, seed=0).freeze("block")
    weighted = with_row_weights(net)
    assert {*weighted.inputs} == {*net.inputs, "sample_weight"}
    assert weighted.engine.frozen == net.engine.frozen
    state = weighted.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    data = {"x": REAL, net.inputs[1]: torch.ones(5, 2), "sample_weight": torch.ones(5)}
    np.testing.assert_allclose(
        weighted.forward(data)["loss"], net.forward({name: data[name] for name in net.inputs})["loss"], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (MSELoss(reduction="sum"), "a loss with reduction='mean'"),
        (CrossEntropyLoss(class_weight=(1.0, 2.0, 3.0)), "Give class_weight to the estimator"),
    ],
)
def test_what_cannot_be_weighted(loss, text):
    with pytest.raises(SettingError, match=text):
        Weighted(loss)


def test_a_node_named_as_the_weights():
    net = Network({"sample_weight": Linear(3, 2), "loss": MSELoss()}, {"sample_weight": ["loss"]})
    with pytest.raises(SettingError, match="a node 'sample_weight', which is the name of the weights: rename it"):
        with_row_weights(net)
