"""The layers of a Transformer; PyTorch's own samples of them are in tests/torch_samples."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from graphdl import Network, Tanh, TransformerDecoderLayer, TransformerEncoderLayer
from graphdl.errors import ArityError, SettingError

LAYERS = [
    (TransformerEncoderLayer, nn.TransformerEncoderLayer, ("x",)),
    (TransformerDecoderLayer, nn.TransformerDecoderLayer, ("x", "memory")),
]


@pytest.mark.parametrize(("layer", "module", "sources"), LAYERS)
def test_a_state_dict_of_torch_carries_over(layer, module, sources):
    torch.manual_seed(0)
    theirs = module(8, 2, 16, batch_first=True).eval()
    net = Network({"layer": layer(8, 2, 16, batch_first=True)}, {name: ["layer"] for name in sources}, seed=0)
    net.load_state_dict({f"layer/{name}": tensor for name, tensor in theirs.state_dict().items()})
    xs = [torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(k)) for k in range(len(sources))]
    found = net.predict(dict(zip(sources, xs, strict=True)))
    torch.testing.assert_close(found, theirs(*xs).detach())


@pytest.mark.parametrize(("layer", "module", "sources"), LAYERS)
def test_arguments_are_torch_s(layer, module, sources):
    ours, theirs = inspect.signature(layer).parameters, inspect.signature(module).parameters
    names = [name for name in theirs if name not in ("device", "dtype")]
    assert [*ours][: len(names)] == names
    for name in names:
        if name != "activation":  # a function in torch
            assert ours[name].default == theirs[name].default, name


def test_a_causal_layer_reads_what_came_before():
    net = Network(
        {"layer": TransformerEncoderLayer(4, 2, 8, batch_first=True, is_causal=True)}, {"x": ["layer"]}, seed=0
    )
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
    y = net.predict(x)
    x[:, 3:] = 7
    torch.testing.assert_close(net.predict(x)[:, :3], y[:, :3])
    assert not torch.allclose(net.predict(x)[:, 3:], y[:, 3:])


def test_activations():
    layer = TransformerEncoderLayer(4, 2, 8, activation=Tanh())
    assert layer.operators["activation"] == Tanh()
    with pytest.raises(
        SettingError, match="activation must be 'relu', 'gelu' or an operator such as Tanh\\(\\), not 'swish'"
    ):
        TransformerEncoderLayer(4, 2, activation="swish")


def test_a_decoder_without_memory_is_refused():
    net = Network({"layer": TransformerDecoderLayer(4, 2)}, {"x": ["layer"]})
    assert net.inputs == ("x", "layer/memory")
    with pytest.raises(ArityError, match="layer"):
        Network({"layer": TransformerEncoderLayer(4, 2)}, {name: ["layer"] for name in "abcd"})


def test_an_activation_that_is_none_is_refused():
    with pytest.raises(SettingError, match="activation must be 'relu', 'gelu' or an operator"):
        TransformerEncoderLayer(8, 2, activation=["relu"])
