import pytest
import torch

from graphdl import GradientNorms
from graphdl.errors import SettingError
from tests.training.logging.conftest import X, Y


def test_norms_are_those_of_a_backward_pass(train):
    net, history = train(GradientNorms(X, Y, by_node=True), epochs=1)
    net.generator.manual_seed(3)
    after = GradientNorms(X, Y, by_node=True)
    after.on_epoch_end(net, None, history)
    net.generator.manual_seed(3)
    net.forward({"x": X, "target": Y})
    net.backward()
    for node in ("fc1", "norm", "fc2"):
        parts = [gradient for name, gradient in net.gradients.items() if name.startswith(f"{node}.")]
        expected = torch.cat([part.flatten() for part in parts]).norm().item()
        assert history[f"gradient_norm_of_{node}"][-1] == pytest.approx(expected, rel=1e-5)
    whole = torch.cat([gradient.flatten() for gradient in net.gradients.values()]).norm().item()
    assert history["gradient_norm"][-1] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("way", [{}, {"compiled": True}, {"recompute": ["norm"]}])
def test_training_is_as_without_them(train, way):
    net, plain = train(epochs=4, **way)
    watched, history = train(GradientNorms(X, Y), epochs=4, **way)
    assert history["loss"] == plain["loss"]
    assert len(history["gradient_norm"]) == 4
    assert all(torch.equal(tensor, watched.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(net.generator.get_state(), watched.generator.get_state())


def test_frozen_nodes_have_none(train):
    norms = GradientNorms({"x": X, "target": Y}, by_node=True)
    net, history = train(epochs=1)
    net.freeze("fc1")
    norms.on_epoch_end(net, None, history)
    assert "gradient_norm_of_fc1" not in history
    assert "gradient_norm_of_fc2" in history


def test_batches_are_refused(train):
    with pytest.raises(SettingError, match="GradientNorms takes a whole data set as one batch, and inputs has 2"):
        train(GradientNorms([(X, Y), (X, Y)]))
